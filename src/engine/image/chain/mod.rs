//! The backing chain: supplying its files, making an image independent of them, emptying an overlay.

pub(crate) mod backing;
pub(crate) mod copy_up;
pub(crate) mod empty;
