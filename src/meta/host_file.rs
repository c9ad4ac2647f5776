//! A file of the image, as the engine reads it.

use alloc::vec;
use alloc::vec::Vec;

use crate::format::units::HostOffset;
use crate::storage::Storage;

/// A storage and its length.
///
/// What lies past the end reads as zeros, as QEMU reads a table or a cluster that the file does not hold in full.
#[derive(Debug)]
pub(crate) struct HostFile<S> {
    id: FileId,
    storage: S,
    size: u64,
}

/// Tells the files of a chain apart in the caches that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId(pub(crate) u32);

impl<S: Storage> HostFile<S> {
    pub(crate) async fn open(storage: S, id: FileId) -> Result<Self, S::Error> {
        let size = storage.size().await?;
        Ok(Self { id, storage, size })
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) async fn read(&self, offset: HostOffset, buf: &mut [u8]) -> Result<(), S::Error> {
        let available = self.size.saturating_sub(offset.0);
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
        let available = self.size.saturating_sub(offset.0).min(length);
        // Callers bound `length` far below the address space of any target.
        let mut bytes = vec![0; usize::try_from(available).unwrap_or(usize::MAX)];
        if !bytes.is_empty() {
            self.storage.read_at(offset.0, &mut bytes).await?;
        }
        Ok(bytes)
    }
}
