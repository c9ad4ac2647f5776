//! The backing chain: who supplies its files, making an image independent of them, and emptying an overlay.

pub(crate) mod backing;
pub(crate) mod copy_up;
pub(crate) mod empty;
