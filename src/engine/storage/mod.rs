//! The storage interface of the engine, and the storages that need no browser.

mod contract;
#[cfg(feature = "std")]
mod file;
mod memory;
#[cfg(feature = "std")]
mod preallocation;

pub use contract::{Storage, StorageMut};
#[cfg(feature = "std")]
pub use file::FileStorage;
pub use memory::{MemoryStorage, PastEnd};
