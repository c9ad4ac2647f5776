//! The files of an image.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::format::units::HostOffset;
use crate::storage::{Storage, StorageMut};

/// A storage and its length.
///
/// Bytes past the end read as zeros, as in QEMU, which reads tables and clusters that the file holds only in part.
#[derive(Debug)]
pub(crate) struct HostFile<S> {
    id: FileId,
    storage: S,
    size: Cell<u64>,
    /// The end of all completed and dropped writes; at least `size`.
    untouched: Cell<u64>,
    /// A write began or ended since the last barrier began.
    unsynced: Cell<bool>,
}

/// The files of one image.
#[derive(Debug)]
pub(crate) struct Files<S> {
    /// The image file. It holds the metadata, and the guest data unless there is an external data file.
    pub(crate) image: HostFile<S>,
    /// The external data file.
    pub(crate) data_file: Option<HostFile<S>>,
}

impl<S> Files<S> {
    /// Returns the file that holds the guest data.
    pub(crate) fn data(&self) -> &HostFile<S> {
        self.data_file.as_ref().unwrap_or(&self.image)
    }
}

/// Identifies a file of a chain in the caches that the chain shares.
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

    /// Returns an offset at and after which the storage holds only zeros.
    pub(crate) fn untouched(&self) -> u64 {
        self.untouched.get()
    }

    pub(crate) async fn read(&self, offset: HostOffset, buf: &mut [u8]) -> Result<(), S::Error> {
        if buf.is_empty() {
            return Ok(());
        }
        if offset.plus(buf.len() as u64).0 > self.size() && self.untouched() > self.size() {
            // A dropped write may have extended the file.
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

    /// Reads `length` bytes at `offset`, or up to the end of the file.
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
    /// Writes `buf` at `offset`. Bytes between the old end and `offset` read as zeros.
    pub(crate) async fn write(&self, offset: HostOffset, buf: &[u8]) -> Result<(), S::Error> {
        let write = self.begin_write(offset, buf.len() as u64);
        write.bytes(buf).await?;
        write.complete(buf.len() as u64);
        Ok(())
    }

    /// Writes `length` bytes at `offset` by the synchronous call `write`. Otherwise like [`Self::write`].
    pub(crate) fn write_by(
        &self,
        offset: HostOffset,
        length: u64,
        write: impl FnOnce(&S) -> Result<(), S::Error>,
    ) -> Result<(), S::Error> {
        let begun = self.begin_write(offset, length);
        write(&self.storage)?;
        begun.complete(length);
        Ok(())
    }

    /// Begins a write of `length` bytes at `offset`.
    pub(crate) fn begin_write(&self, offset: HostOffset, length: u64) -> BegunWrite<'_, S> {
        self.untouched.set(self.untouched().max(offset.plus(length).0));
        self.unsynced.set(true);
        BegunWrite { file: self, offset }
    }

    /// Extends the file with zeros, or truncates it.
    pub(crate) async fn set_size(&self, size: u64) -> Result<(), S::Error> {
        self.unsynced.set(true);
        let _written = UnsyncedWrite { unsynced: &self.unsynced };
        // A dropped truncation may take effect, so the bytes past `size` must not be read.
        self.size.set(self.size().min(size));
        self.storage.set_size(size).await?;
        self.size.set(size);
        Ok(())
    }

    /// Issues a barrier if anything was written since the last one.
    ///
    /// If it fails or is dropped, its effect is unknown, so the next barrier is not skipped.
    pub(crate) async fn flush(&self) -> Result<(), S::Error> {
        if !self.unsynced.replace(false) {
            return Ok(());
        }
        let unknown = UnsyncedWrite { unsynced: &self.unsynced };
        self.storage.flush().await?;
        unknown.forget();
        Ok(())
    }
}

/// A write that is under way until this is dropped. A barrier in between is not sure to cover it: see
/// [`cancellation`](super::cancellation).
pub(crate) struct BegunWrite<'a, S> {
    file: &'a HostFile<S>,
    offset: HostOffset,
}

impl<'a, S: StorageMut> BegunWrite<'a, S> {
    /// Writes `buf`, whose length is that of the write.
    pub(crate) fn bytes<'b>(&self, buf: &'b [u8]) -> impl Future<Output = Result<(), S::Error>> + use<'a, 'b, S> {
        self.file.storage.write_at(self.offset.0, buf)
    }

    /// Records that the write, of `length` bytes, has succeeded.
    pub(crate) fn complete(&self, length: u64) {
        self.file.size.set(self.file.size().max(self.offset.plus(length).0));
    }
}

impl<S> Drop for BegunWrite<'_, S> {
    fn drop(&mut self) {
        self.file.unsynced.set(true);
    }
}

/// Records a write when dropped: see [`cancellation`](super::cancellation).
struct UnsyncedWrite<'a> {
    unsynced: &'a Cell<bool>,
}

impl UnsyncedWrite<'_> {
    fn forget(self) {
        core::mem::forget(self);
    }
}

impl Drop for UnsyncedWrite<'_> {
    fn drop(&mut self) {
        self.unsynced.set(true);
    }
}

impl<S: StorageMut> Files<S> {
    /// Issues a barrier for each file that was written since its last one.
    pub(crate) async fn flush(&self) -> Result<(), S::Error> {
        if let Some(data_file) = &self.data_file {
            data_file.flush().await?;
        }
        self.image.flush().await
    }
}
