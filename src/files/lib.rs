//! File systems over any disk, for the browser.
//!
//! Well-kept crates parse the file systems. They are synchronous, but a disk in a browser is not: its bytes come from a
//! file, a server or another worker. So parsers read through a [`Cache`] that never waits. A read of bytes that are not
//! cached fails and records them. The operation then ends with [`Error::Need`], the caller provides the bytes, and the
//! operation runs again from its start. Reads are usually close together, so few runs are needed, and consecutive
//! misses read ahead. A disk that can be read synchronously needs no second run.
//!
//! ```text
//! disk ── Cache ── Slice, logical volume, … ── FileSystem (one adapter for each crate) ── Volume (paths, limits)
//! ```
//!
//! * [`source`]: the cache, and devices over it.
//! * [`probe`]: recognises the contents of a device.
//! * [`disk`]: partitions and logical volumes.
//! * [`fs`]: the trait of all file systems, and the adapters.
//! * [`fat`]: changes of FAT volumes. All other file systems are read-only.
//! * [`Volume`]: the caller's interface. It resolves paths and symbolic links, and limits the cost of a damaged file system.
//!
//! A result is valid only if no bytes were missing while it was computed: a parser may take a failed read for damage,
//! or for the end of a list. Only [`Cache::call`] implements that rule; no adapter needs to know it.
//!
//! No parser is trusted. Depth, entries, names, links and memory have limits here. Time has none: the caller runs each
//! volume in a worker with a deadline, and a panic ends that worker and nothing else.

#[cfg(any(feature = "wasm", feature = "wasm-fat"))]
extern crate alloc;

#[cfg(feature = "wasm")]
mod bridge;
#[cfg(any(feature = "wasm", feature = "wasm-fat"))]
mod calls;
pub mod disk;
mod error;
pub mod fat;
pub mod fs;
pub mod probe;
pub mod source;
mod volume;

pub use error::{Code, Error, Result};
pub use source::{Cache, Content, Extent};
pub use volume::{Entry, Listing, Volume};
