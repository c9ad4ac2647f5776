//! The storage interface of the engine.

use alloc::rc::Rc;

/// A storage that can be read at any offset.
///
/// Methods take `&self` so that requests can overlap. A storage does not have to order them. Futures need not be `Send`: a
/// browser runs them on one thread.
pub trait Storage {
    /// The error of this storage. The caller receives it unchanged, as [`Error::Storage`](crate::Error).
    type Error: core::error::Error + 'static;

    /// Fills `buf` with the bytes at `offset`, or fails. A read past the end of the storage fails.
    ///
    /// After an error, or if the future is dropped before it completes, the contents of `buf` are unspecified and the
    /// storage is unchanged.
    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// Returns the length of the storage in bytes. Dropping the future has no effect.
    async fn size(&self) -> Result<u64, Self::Error>;
}

/// A storage that can be written.
///
/// Several writes may be under way at the same time. Two of them touch the same bytes only in two cases:
///
/// - The caller's own requests to the image overlap. Then either write may take effect last.
/// - The future of the first write was dropped. A dropped write may still take effect in full, in part or not at all, but
///   not after a later write to the same bytes, or a later flush, has completed. The part of it that took effect before the
///   flush completed is covered by that flush.
pub trait StorageMut: Storage {
    /// Writes all of `buf` at `offset`, or fails.
    ///
    /// A write past the end extends the storage. Bytes between the old end and `offset` read as zeros.
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Self::Error>;

    /// Truncates the storage to `size` bytes, or extends it with zeros.
    async fn set_size(&self, size: u64) -> Result<(), Self::Error>;

    /// Completes when all earlier writes are durable.
    ///
    /// It is a barrier: later writes reach the medium after the earlier ones. If the future is dropped, neither is certain.
    async fn flush(&self) -> Result<(), Self::Error>;
}

// A reference is as fast as what it refers to: the methods return its futures, and add none of their own.

impl<S: Storage + ?Sized> Storage for &S {
    type Error = S::Error;

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).read_at(offset, buf)
    }

    fn size(&self) -> impl Future<Output = Result<u64, Self::Error>> {
        (**self).size()
    }
}

impl<S: Storage + ?Sized> Storage for Rc<S> {
    type Error = S::Error;

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).read_at(offset, buf)
    }

    fn size(&self) -> impl Future<Output = Result<u64, Self::Error>> {
        (**self).size()
    }
}

impl<S: StorageMut + ?Sized> StorageMut for &S {
    fn write_at(&self, offset: u64, buf: &[u8]) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).write_at(offset, buf)
    }

    fn set_size(&self, size: u64) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).set_size(size)
    }

    fn flush(&self) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).flush()
    }
}

impl<S: StorageMut + ?Sized> StorageMut for Rc<S> {
    fn write_at(&self, offset: u64, buf: &[u8]) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).write_at(offset, buf)
    }

    fn set_size(&self, size: u64) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).set_size(size)
    }

    fn flush(&self) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).flush()
    }
}
