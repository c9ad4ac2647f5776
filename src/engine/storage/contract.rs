//! What the engine needs of a storage.

use alloc::rc::Rc;

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

/// A storage that can be written.
///
/// Several writes may be under way at once. Two of them touch the same bytes only where the caller's own requests to the
/// image overlap, and then either may be carried out last, or where the future of the first was dropped. A dropped write
/// may still be carried out, in full, in part or not at all, but not after a write to the same bytes, or a flush, that is
/// asked for later has completed; and what of it is carried out by then is covered by that flush.
pub trait StorageMut: Storage {
    /// Puts `buf` at `offset`, all of it or an error. Past the end the storage grows, and what lies between the old end
    /// and `offset` reads as zeros.
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Self::Error>;

    /// Makes the storage `size` bytes long: cuts it, or lets it grow with zeros.
    async fn set_size(&self, size: u64) -> Result<(), Self::Error>;

    /// Completes when all that was written before is durable: a barrier, for what is written after it reaches the
    /// medium later. When dropped, nothing is known of either.
    async fn flush(&self) -> Result<(), Self::Error>;
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

impl<S: StorageMut + ?Sized> StorageMut for &S {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Self::Error> {
        (**self).write_at(offset, buf).await
    }

    async fn set_size(&self, size: u64) -> Result<(), Self::Error> {
        (**self).set_size(size).await
    }

    async fn flush(&self) -> Result<(), Self::Error> {
        (**self).flush().await
    }
}

impl<S: StorageMut + ?Sized> StorageMut for Rc<S> {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Self::Error> {
        (**self).write_at(offset, buf).await
    }

    async fn set_size(&self, size: u64) -> Result<(), Self::Error> {
        (**self).set_size(size).await
    }

    async fn flush(&self) -> Result<(), Self::Error> {
        (**self).flush().await
    }
}
