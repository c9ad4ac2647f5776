//! Changing the disk: the single path for everything that modifies guest-visible data.
//!
//! [`Image::change`] enters the disk, notifies the observers of the range that is about to change, and carries the
//! change out in steps. Each step is decided without waiting, from cached tables ([`wait`]): in place, or by allocating
//! ([`step`]), or by setting entries only ([`zero`]). An allocating step works in this order: it *reserves* a cluster
//! (allocates it and sets its refcount in memory), *fills* it (writes its data), and *links* it (makes an entry point
//! to it, in memory). [`Writeback`](crate::meta::writeback::Writeback) writes refcounts and links to the file in the
//! safe order. A step that is dropped or fails before it links frees what it reserved: a failed write of data into a
//! cluster that is not linked is harmless.
//!
//! A change locks the guest clusters that it allocates for, so that no other change touches their entries. It writes
//! data without any lock, and takes the metadata lock only to reserve and to link.

pub(super) mod disk;
pub(super) mod entry;
pub(crate) mod observer;
pub(super) mod step;
mod tables;
pub(super) mod wait;
pub(super) mod zero;

use alloc::boxed::Box;
use core::ops::Range;

use futures_util::future::LocalBoxFuture;

use super::Image;
use super::read::check_range;
use crate::codec::PackedClusters;
use crate::error::Error;
use crate::format::units::{GuestOffset, usize_of};
use crate::meta::active_requests::Request;
use crate::meta::attempt::Attempt;
use crate::meta::exclusive::SharedGuard;
use crate::meta::host_file::BegunWrite;
use crate::meta::run::Run;
use crate::storage::{Storage, StorageMut};
use disk::Disk;
use step::{Allocation, InPlace, LockedBy, Step};
use wait::Wait;
use zero::Zeroing;

/// A change of a range of the disk.
pub(super) enum Change<'a> {
    /// Writes these bytes.
    Write(&'a [u8]),
    /// Writes these bytes in compressed clusters.
    Compress(&'a [u8]),
    /// Writes these clusters, which are already compressed.
    Precompressed(&'a PackedClusters),
    /// Zeroes or discards the range.
    Zero(Zeroing),
    /// Copies the data of the backing file into the image.
    CopyUp,
}

/// A write in place that waits only for the storage.
struct InPlaceWrite<'a, S> {
    write: BegunWrite<'a, S>,
    _request: Request<'a>,
    _inside: Option<SharedGuard<'a>>,
}

/// A write of newly allocated clusters that waits only for the storage.
struct NewWrite<'a, S> {
    write: BegunWrite<'a, S>,
    step: Allocation<'a>,
    disk: Disk<'a, S>,
}

/// The rest of a write, which may have to wait. On the heap: it is large, and the future of a write is moved often.
type Rest<'a, S> = LocalBoxFuture<'a, Result<(), Error<<S as Storage>::Error>>>;

impl<S: StorageMut> Image<S> {
    /// Changes `range` of the disk.
    pub(super) async fn change(&self, range: Range<u64>, change: Change<'_>) -> Result<(), Error<S::Error>> {
        // Refuse first: entering may write the header, and a refused change must not touch the file.
        self.writable()?;
        check_range(range.start, range.end - range.start, self.size())?;
        let disk = Disk::enter(self).await?;
        // The disk may have been resized meanwhile.
        check_range(range.start, range.end - range.start, self.size())?;
        disk.notify(&range);
        let start = GuestOffset(range.start);
        let result = match change {
            Change::Write(buf) => self.write_steps(&disk, start, buf).await,
            Change::Compress(buf) => self.write_compressed_clusters(&disk, start, buf).await,
            Change::Precompressed(clusters) => self.write_precompressed_clusters(&disk, start, clusters).await,
            Change::Zero(zeroing) => self.zero_range(&disk, range, zeroing).await,
            Change::CopyUp => self.copy_clusters_up(&disk, range).await,
        };
        disk.conclude(result).await
    }

    /// Writes `buf` at `offset`. The fast path of [`Image::change`] for a write that one step serves.
    ///
    /// It waits only for the storage. Nearly all writes take it; the others continue from what it has decided so far.
    pub(super) async fn write(&self, offset: u64, buf: &[u8]) -> Result<(), Error<S::Error>> {
        // Matched by reference: a future that moves what it has matched has room for it twice, and it is moved often.
        match &mut self.begin_write(offset, buf) {
            Ok(InPlaceWrite { write, .. }) => {
                write.bytes(buf).await.map_err(Error::Storage)?;
                write.complete(buf.len() as u64);
                Ok(())
            }
            Err(rest) => rest.await,
        }
    }

    /// Begins a write of `buf` at `offset`: in place if one step serves it. Otherwise returns the future that writes it.
    #[inline]
    fn begin_write<'a>(&'a self, offset: u64, buf: &'a [u8]) -> Result<InPlaceWrite<'a, S>, Rest<'a, S>> {
        let (start, length) = (GuestOffset(offset), buf.len() as u64);
        let Some(disk) = self.try_enter_write(offset, length) else {
            let range = offset..offset.saturating_add(length);
            return Err(Box::pin(self.change(range, Change::Write(buf))));
        };
        disk.notify(&(offset..offset + length));
        let run = disk.resolve(start, length);
        if let Ok(run) = &run
            && let Ok(Some(InPlace { length: found, host, request })) = disk.in_place(run)
            && found == length
        {
            let write = disk.file.files.data().begin_write(host, length);
            return Ok(InPlaceWrite { write, _request: request, _inside: disk.into_guard() });
        }
        Err(self.continue_write(disk, run, start, buf))
    }

    /// Returns the future that writes `buf` at `start`, after the lookup returned `run`.
    #[inline(never)]
    fn continue_write<'a>(
        &'a self,
        disk: Disk<'a, S>,
        run: Attempt<Run>,
        start: GuestOffset,
        buf: &'a [u8],
    ) -> Rest<'a, S> {
        let length = buf.len() as u64;
        match disk.write_step_in(run, start, length, LockedBy::Step) {
            Ok(Step::Allocate(step))
                if step.length() == length
                    && let Some(host) = step.host_if_data_alone(self) =>
            {
                let write = disk.file.files.data().begin_write(host, length);
                let mut new = NewWrite { write, step, disk };
                Box::pin(async move {
                    // Captured as a whole, so that its fields are dropped in their order.
                    let new = &mut new;
                    new.write.bytes(buf).await.map_err(Error::Storage)?;
                    new.write.complete(length);
                    if new.step.try_link(&new.disk) { Ok(()) } else { new.step.link(&new.disk).await }
                })
            }
            first => Box::pin(async move {
                let result = self.write_from(&disk, first, start, buf).await;
                disk.conclude(result).await
            }),
        }
    }

    /// Enters the disk for a write that has nothing to wait for, and nothing to do after its data. Returns `None` for
    /// others.
    pub(super) fn try_enter_write(&self, offset: u64, length: u64) -> Option<Disk<'_, S>> {
        let disk = Disk::try_enter(self)?;
        let simple = length != 0 && !disk.writeback.write_through && disk.file.encrypted.is_none();
        (simple && check_range(offset, length, self.size()).is_ok()).then_some(disk)
    }

    /// Writes `buf` at `start`, in steps.
    pub(super) async fn write_steps(
        &self,
        disk: &Disk<'_, S>,
        start: GuestOffset,
        buf: &[u8],
    ) -> Result<(), Error<S::Error>> {
        if buf.is_empty() {
            return Ok(());
        }
        // An encrypted sector can only be written as a whole.
        let _sectors = match &disk.file.encrypted {
            Some(encrypted) => Some(encrypted.lock(start, buf.len() as u64).await),
            None => None,
        };
        let first = disk.write_step(start, buf.len() as u64, LockedBy::Step);
        self.write_from(disk, first, start, buf).await
    }

    /// Writes `buf` at `start` after the first attempt at the first step returned `first`.
    async fn write_from(
        &self,
        disk: &Disk<'_, S>,
        mut first: Result<Step<'_>, Wait>,
        mut start: GuestOffset,
        mut buf: &[u8],
    ) -> Result<(), Error<S::Error>> {
        loop {
            let step = || disk.write_step(start, buf.len() as u64, LockedBy::Step);
            let step = disk.complete_from(first, step).await?;
            let written = self.run_step(disk, step, start, buf).await?;
            start = start.plus(written as u64);
            buf = buf.get(written..).unwrap_or_default();
            if buf.is_empty() {
                return Ok(());
            }
            first = disk.write_step(start, buf.len() as u64, LockedBy::Step);
        }
    }

    /// Carries out a step of a write of `buf` at `start`. Returns how many bytes it wrote.
    pub(super) async fn run_step(
        &self,
        disk: &Disk<'_, S>,
        step: Step<'_>,
        start: GuestOffset,
        buf: &[u8],
    ) -> Result<usize, Error<S::Error>> {
        match step {
            Step::InPlace(InPlace { length, host, .. }) => {
                let (buf, _) = buf.split_at(usize_of(length));
                disk.write_data(start, host, buf).await?;
                Ok(buf.len())
            }
            Step::Allocate(mut step) => {
                let (buf, _) = buf.split_at(usize_of(step.length()));
                self.write_reserved(disk, &step, start, buf).await?;
                step.link(disk).await?;
                Ok(buf.len())
            }
        }
    }

    async fn write_reserved(
        &self,
        disk: &Disk<'_, S>,
        step: &Allocation<'_>,
        start: GuestOffset,
        buf: &[u8],
    ) -> Result<(), Error<S::Error>> {
        match step.host_if_data_alone(self) {
            Some(host) => disk.write_data(start, host, buf).await,
            None => Box::pin(step.copy_on_write(self, disk, buf)).await,
        }
    }
}
