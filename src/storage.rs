//! What the engine asks of a storage, and the storages that need no browser.

use alloc::rc::Rc;

#[cfg(feature = "std")]
mod file;
mod memory;

#[cfg(feature = "std")]
pub use file::FileStorage;
pub use memory::{MemoryStorage, PastEnd};

/// Bytes that can be read at any place.
///
/// Methods take `&self` so that requests overlap; a storage orders nothing by itself. Futures need not be `Send`: a
/// browser runs them on one thread.
pub trait Storage {
    /// What this storage says when it fails. It reaches the caller unchanged, as [`Error::Storage`](crate::Error).
    type Error: core::error::Error + 'static;

    /// Fills `buf` with the bytes at `offset`, all of it or an error; past the end of the storage is an error.
    ///
    /// After an error, or when the future is dropped before it completes, the contents of `buf` are unspecified and
    /// the storage is as it was.
    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// The length of the storage in bytes. Dropping the future has no effect.
    async fn size(&self) -> Result<u64, Self::Error>;
}

impl<S: Storage + ?Sized> Storage for &S {
    type Error = S::Error;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read_at(offset, buf).await
    }

    async fn size(&self) -> Result<u64, Self::Error> {
        (**self).size().await
    }
}

impl<S: Storage + ?Sized> Storage for Rc<S> {
    type Error = S::Error;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read_at(offset, buf).await
    }

    async fn size(&self) -> Result<u64, Self::Error> {
        (**self).size().await
    }
}
