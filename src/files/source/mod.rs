//! The sources of parsers: a cache over the disk, and views of it.

mod cache;
mod decrypted;
mod device;
mod trace;

pub use cache::{BLOCK, Cache, ReadSync, Statistics};
pub use decrypted::{Decrypt, Decrypted};
pub use device::{Device, ReadFailed, Slice};
pub(crate) use trace::add as add_extent;
pub use trace::{Content, Extent};
