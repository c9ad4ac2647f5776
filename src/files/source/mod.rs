//! The sources of parsers: a cache over the disk, and views of it.

mod cache;
mod decrypted;
mod device;

pub use cache::{BLOCK, Cache, ReadSync, Statistics};
pub use decrypted::{Decrypt, Decrypted};
pub use device::{Device, ReadFailed, Slice};
