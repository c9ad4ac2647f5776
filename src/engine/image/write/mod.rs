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

/// What becomes of clusters that are made to read as zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroMode {
    /// They stay allocated, so that later writes to them are in place.
    #[default]
    KeepAllocated,
    /// They are freed.
    Unmap,
}

impl<S: StorageMut> Image<S> {
    /// Writes `buf` at `offset` of the disk, all of it or an error. Durable after a [`flush`](Self::flush).
    ///
    /// Clusters that nothing else refers to are written in place. Elsewhere clusters are allocated, and what they hold
    /// around `buf` is copied from what the disk showed before (copy-on-write).
    ///
    /// After an error, and when the future is dropped, each byte is either as before or as written. An error of the
    /// storage loses nothing else: the image can still be used.
    // Not one future within another: a write in place takes few instructions.
    pub fn write_at(&self, offset: u64, buf: &[u8]) -> impl Future<Output = Result<(), Error<S::Error>>> {
        self.write(offset, buf)
    }

    /// Frees the clusters that lie wholly in the `length` bytes at `offset`: what they held is gone, and reads as zeros,
    /// never as what a backing file holds there. Parts of clusters are left as they are.
    ///
    /// In an image of version 2 with a backing file, and in one with a raw data file, nothing can be freed.
    pub async fn discard(&self, offset: u64, length: u64) -> Result<(), Error<S::Error>> {
        self.change_length(offset, length, Change::Zero(Zeroing::Discard)).await
    }

    /// Makes the `length` bytes at `offset` of the disk read as zeros. `mode` is about the clusters that lie wholly in the
    /// range.
    ///
    /// What was written as zeros stays zeros, whatever backing file is recorded later.
    pub async fn write_zeroes(&self, offset: u64, length: u64, mode: ZeroMode) -> Result<(), Error<S::Error>> {
        let zeroing = match mode {
            ZeroMode::KeepAllocated => Zeroing::Zero,
            ZeroMode::Unmap => Zeroing::ZeroAndUnmap,
        };
        self.change_length(offset, length, Change::Zero(zeroing)).await
    }

    /// Has `observer` told of every range of the disk, in bytes, that is about to change, for as long as the image is
    /// open. Whatever replaces the disk as a whole, such as applying a snapshot, counts as a change of all of it.
    pub fn observe(&self, observer: impl Fn(core::ops::Range<u64>) + 'static) {
        let observer: Observer = alloc::rc::Rc::new(observer);
        self.top.observers.add(observer);
    }

    /// Has long operations ask `pause` between their steps, and wait for the future that it returns.
    ///
    /// Over a storage that is always ready, an operation that changes a large range would otherwise not let others have
    /// their turn before it ends. Dropping the operation while it pauses is safe, and leaves a part of it done.
    pub fn set_pause(&self, pause: impl Fn() -> Option<LocalBoxFuture<'static, ()>> + 'static) {
        self.top.pause.replace(Some(alloc::rc::Rc::new(pause)));
    }

    /// As [`Image::change`], of `length` bytes at `offset`, which may be out of bounds.
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

    /// Reads what the chain shows at `start`; past the end of the disk there are zeros.
    pub(super) async fn read_chain(&self, start: GuestOffset, buf: &mut [u8]) -> Result<(), Error<S::Error>> {
        read_layers(&self.layers, start, buf).await
    }

    /// Returns whether the `length` bytes at `start` are known to be zeros, without reading them, whatever file is under
    /// the last one that is open.
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
    /// Writes back, if much is dirty.
    pub(super) async fn write_back_if_due(&self) -> Result<(), Error<S::Error>> {
        if !self.writeback.is_write_back_due() {
            return Ok(());
        }
        let _guard = self.writeback.lock.acquire().await;
        self.writeback.write_back_if_due(&self.file.files).await
    }

    /// Lets other tasks have their turn, if it is over. A long operation calls this between its steps.
    pub(super) async fn pause(&self) {
        let pause = self.file.pause.borrow().clone();
        if let Some(turn) = pause.and_then(|pause| pause()) {
            turn.await;
        }
    }
}
