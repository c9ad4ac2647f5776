//! The backing chain: who supplies its files, and making an image independent of them.

pub(crate) mod backing;
pub(crate) mod copy_up;
