//! Writing the disk.

pub(crate) mod compressed;
pub(crate) mod flush;
pub(crate) mod preallocate;
pub(crate) mod precompressed;
pub(crate) mod rewrite_tables;

use futures_util::future::LocalBoxFuture;

use super::Image;
use super::read::read_layers;
use crate::error::{Error, Misuse};
use crate::format::units::GuestOffset;
use crate::image::change::observer::Observer;
use crate::image::change::zero::Zeroing;
use crate::image::change::{Change, disk::Disk};
use crate::storage::StorageMut;

/// The treatment of clusters that are zeroed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroMode {
    /// The clusters stay allocated, so that later writes to them are in place.
    #[default]
    KeepAllocated,
    /// The clusters are freed.
    Unmap,
}

impl<S: StorageMut> Image<S> {
    /// Writes `buf` at `offset` of the disk, all of it or an error.
    ///
    /// The data is durable after a [`flush`](Self::flush).
    ///
    /// Clusters that nothing else refers to are written in place. For the others, clusters are allocated, and the data
    /// around `buf` is copied to them (copy-on-write).
    ///
    /// After an error, or if the future is dropped, each byte is either old or new. A storage error loses nothing else:
    /// the image stays usable.
    // Not `async`: a future without nesting takes fewer instructions for a write in place.
    pub fn write_at(&self, offset: u64, buf: &[u8]) -> impl Future<Output = Result<(), Error<S::Error>>> {
        self.write(offset, buf)
    }

    /// Frees the clusters that are completely within the `length` bytes at `offset`.
    ///
    /// Their data is lost, and they read as zeros, never as the data of a backing file. Parts of clusters stay as they
    /// are.
    ///
    /// Nothing can be freed in an image of version 2 with a backing file, or with a raw data file.
    pub async fn discard(&self, offset: u64, length: u64) -> Result<(), Error<S::Error>> {
        self.change_length(offset, length, Change::Zero(Zeroing::Discard)).await
    }

    /// Makes the `length` bytes at `offset` of the disk read as zeros.
    ///
    /// `mode` applies to the clusters that are completely within the range.
    ///
    /// The zeros stay zeros even if another backing file is recorded later.
    pub async fn write_zeroes(&self, offset: u64, length: u64, mode: ZeroMode) -> Result<(), Error<S::Error>> {
        let zeroing = match mode {
            ZeroMode::KeepAllocated => Zeroing::Zero,
            ZeroMode::Unmap => Zeroing::ZeroAndUnmap,
        };
        self.change_length(offset, length, Change::Zero(zeroing)).await
    }

    /// Notifies `observer` of every range of the disk, in bytes, that is about to change.
    ///
    /// It stays registered while the image is open. An operation that replaces the whole disk, such as applying a
    /// snapshot, counts as a change of the whole disk.
    pub fn observe(&self, observer: impl Fn(core::ops::Range<u64>) + 'static) {
        let observer: Observer = alloc::rc::Rc::new(observer);
        self.top.observers.add(observer);
    }

    /// Makes long operations call `pause` between their steps and wait for the future that it returns.
    ///
    /// If the storage is always ready, an operation on a large range would otherwise not let other tasks run before it
    /// ends. Dropping the operation while it pauses is safe, and leaves it partly done.
    pub fn set_pause(&self, pause: impl Fn() -> Option<LocalBoxFuture<'static, ()>> + 'static) {
        self.top.pause.replace(Some(alloc::rc::Rc::new(pause)));
    }

    /// As [`Image::change`], for `length` bytes at `offset`, which may be out of bounds.
    pub(super) async fn change_length(
        &self,
        offset: u64,
        length: u64,
        change: Change<'_>,
    ) -> Result<(), Error<S::Error>> {
        let Some(end) = offset.checked_add(length) else {
            self.writable()?;
            return Err(Misuse::OutOfBounds { offset, length, size: self.size() }.into());
        };
        self.change(offset..end, change).await
    }

    /// Reads the chain at `start`. There are zeros past the end of the disk.
    pub(super) async fn read_chain(&self, start: GuestOffset, buf: &mut [u8]) -> Result<(), Error<S::Error>> {
        read_layers(&self.layers, start, buf).await
    }

    /// Returns whether the `length` bytes at `start` are known to be zeros without reading them, even if the chain has
    /// a backing file that is not open.
    pub(super) async fn is_zero(&self, start: GuestOffset, length: usize) -> Result<bool, Error<S::Error>> {
        let end = start.plus(length as u64).0.min(self.size());
        let mut at = start.0;
        while at < end {
            let extent = crate::image::read::map::extent_at(&self.layers, at, end - at).await?;
            if !extent.zero || !extent.present && self.lacks_backing() {
                return Ok(false);
            }
            at += extent.length;
        }
        Ok(true)
    }
}

impl<S: StorageMut> Disk<'_, S> {
    /// Writes back if there is much dirty metadata.
    pub(super) async fn write_back_if_due(&self) -> Result<(), Error<S::Error>> {
        if !self.writeback.is_write_back_due() {
            return Ok(());
        }
        let _guard = self.writeback.lock.acquire().await;
        self.writeback.write_back_if_due(&self.file.files).await
    }

    /// Lets other tasks run if it is their turn. A long operation calls this between its steps.
    pub(super) async fn pause(&self) {
        let pause = self.file.pause.borrow().clone();
        if let Some(turn) = pause.and_then(|pause| pause()) {
            turn.await;
        }
    }
}
