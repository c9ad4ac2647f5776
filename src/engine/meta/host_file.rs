//! A file of the image, as the engine reads it.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::format::units::HostOffset;
use crate::storage::{Storage, StorageMut};

/// A storage and its length.
///
/// What lies past the end reads as zeros, as QEMU reads a table or a cluster that the file does not hold in full.
#[derive(Debug)]
pub(crate) struct HostFile<S> {
    id: FileId,
    storage: S,
    size: Cell<u64>,
    /// As `size`, and past what writes may have left that were dropped.
    untouched: Cell<u64>,
    /// A write was begun, or has ended, since the last barrier.
    unsynced: Cell<bool>,
}

/// The files of one image.
#[derive(Debug)]
pub(crate) struct Files<S> {
    /// Holds the metadata, and the data unless there is a data file.
    pub(crate) image: HostFile<S>,
    /// The external data file.
    pub(crate) data_file: Option<HostFile<S>>,
}

impl<S> Files<S> {
    /// The file that holds the guest's data.
    pub(crate) fn data(&self) -> &HostFile<S> {
        self.data_file.as_ref().unwrap_or(&self.image)
    }
}

/// Tells the files of a chain apart in the caches that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId(pub(crate) u32);

impl<S: Storage> HostFile<S> {
    pub(crate) async fn open(storage: S, id: FileId) -> Result<Self, S::Error> {
        let size = storage.size().await?;
        Ok(Self { id, storage, size: Cell::new(size), untouched: Cell::new(size), unsynced: Cell::new(false) })
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.get()
    }

    /// From here on the storage holds nothing but zeros, if anything.
    pub(crate) fn untouched(&self) -> u64 {
        self.untouched.get()
    }

    pub(crate) async fn read(&self, offset: HostOffset, buf: &mut [u8]) -> Result<(), S::Error> {
        if buf.is_empty() {
            return Ok(());
        }
        if offset.plus(buf.len() as u64).0 > self.size() && self.untouched() > self.size() {
            // A write that was dropped may have made it longer.
            self.size.set(self.storage.size().await?.max(self.size()));
        }
        let available = self.size().saturating_sub(offset.0);
        // Compared in u64: where `available` doesn't fit a usize, it exceeds every buffer.
        if buf.len() as u64 <= available {
            return self.storage.read_at(offset.0, buf).await;
        }
        let available = usize::try_from(available).unwrap_or(buf.len());
        let (present, absent) = buf.split_at_mut(available);
        absent.fill(0);
        if present.is_empty() { Ok(()) } else { self.storage.read_at(offset.0, present).await }
    }

    /// The bytes from `offset` on, `length` of them or as many as the file has.
    pub(crate) async fn read_up_to(&self, offset: HostOffset, length: u64) -> Result<Vec<u8>, S::Error> {
        let available = self.size().saturating_sub(offset.0).min(length);
        // Callers bound `length` far below the address space of any target.
        let mut bytes = vec![0; usize::try_from(available).unwrap_or(usize::MAX)];
        if !bytes.is_empty() {
            self.storage.read_at(offset.0, &mut bytes).await?;
        }
        Ok(bytes)
    }
}

impl<S: StorageMut> HostFile<S> {
    /// Writes `buf` at `offset`; what lies between the old end and `offset` reads as zeros.
    pub(crate) async fn write(&self, offset: HostOffset, buf: &[u8]) -> Result<(), S::Error> {
        let end = offset.plus(buf.len() as u64).0;
        self.untouched.set(self.untouched().max(end));
        let _written = self.written();
        self.storage.write_at(offset.0, buf).await?;
        self.size.set(self.size().max(end));
        Ok(())
    }

    /// As [`Self::write`], of `length` bytes, by a call that needs not wait.
    pub(crate) fn write_by(
        &self,
        offset: HostOffset,
        length: u64,
        write: impl FnOnce(&S) -> Result<(), S::Error>,
    ) -> Result<(), S::Error> {
        let end = offset.plus(length).0;
        self.untouched.set(self.untouched().max(end));
        let _written = self.written();
        write(&self.storage)?;
        self.size.set(self.size().max(end));
        Ok(())
    }

    /// Makes the file longer, with zeros, or shorter.
    pub(crate) async fn set_size(&self, size: u64) -> Result<(), S::Error> {
        let _written = self.written();
        // What a cut that was dropped has taken away must not be asked for.
        self.size.set(self.size().min(size));
        self.storage.set_size(size).await?;
        self.size.set(size);
        Ok(())
    }

    /// A barrier, if anything was written since the last one.
    ///
    /// When it fails or is dropped, nothing is known of it, so the next one is not left out.
    pub(crate) async fn flush(&self) -> Result<(), S::Error> {
        if !self.unsynced.replace(false) {
            return Ok(());
        }
        let unknown = Written { unsynced: &self.unsynced };
        self.storage.flush().await?;
        unknown.forget();
        Ok(())
    }

    /// Something is written, from now on until this is dropped: a barrier in between covers it not, or not for sure.
    fn written(&self) -> Written<'_> {
        self.unsynced.set(true);
        Written { unsynced: &self.unsynced }
    }
}

/// Says when dropped that something was written: see [`cancellation`](super::cancellation).
struct Written<'a> {
    unsynced: &'a Cell<bool>,
}

impl Written<'_> {
    fn forget(self) {
        core::mem::forget(self);
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        self.unsynced.set(true);
    }
}

impl<S: StorageMut> Files<S> {
    /// A barrier for both, where it is needed.
    pub(crate) async fn flush(&self) -> Result<(), S::Error> {
        if let Some(data_file) = &self.data_file {
            data_file.flush().await?;
        }
        self.image.flush().await
    }
}
