//! The disk of an open image, as changes use it.

use core::ops::Range;

use crate::error::{Corrupt, Error};
use crate::format::geometry::Geometry;
use crate::format::l1::L1Table;
use crate::format::units::{GuestOffset, HostOffset};
use crate::image::Image;
use crate::image::layer::Qcow2File;
use crate::meta::attempt::Attempt;
use crate::meta::exclusive::{ExclusiveGuard, SharedGuard};
use crate::meta::run::Run;
use crate::meta::writeback::Writeback;
use crate::storage::{Storage, StorageMut};

/// The active disk of an image that is open for writing. While this exists, the L1 table does not move.
pub(in crate::image) struct Disk<'a, S> {
    pub(in crate::image) file: &'a Qcow2File<S>,
    pub(in crate::image) l1: L1Table,
    pub(in crate::image) writeback: &'a Writeback,
    /// `None` if the caller keeps the gate closed.
    inside: Option<SharedGuard<'a>>,
}

impl<'a, S: Storage> Disk<'a, S> {
    /// Returns the disk, for a caller that keeps the gate closed.
    pub(in crate::image) fn exclusive(
        file: &'a Qcow2File<S>,
        writeback: &'a Writeback,
        _closed: &ExclusiveGuard<'_>,
    ) -> Self {
        Self { file, l1: file.active.l1(), writeback, inside: None }
    }

    /// Returns what keeps the L1 table where it is.
    pub(super) fn into_guard(self) -> Option<SharedGuard<'a>> {
        self.inside
    }

    pub(in crate::image) fn geometry(&self) -> Geometry {
        self.file.tables.geometry()
    }

    /// The guest clusters that the `length` bytes at `start` touch.
    pub(in crate::image) fn clusters(&self, start: GuestOffset, length: u64) -> Range<u64> {
        let bits = self.geometry().cluster_bits();
        start.0 >> bits..start.plus(length).0.div_ceil(1 << bits)
    }

    pub(in crate::image) fn guest_offset(&self, cluster: u64) -> GuestOffset {
        GuestOffset(cluster << self.geometry().cluster_bits())
    }

    /// Resolves the run at `start`, of at most `limit` bytes, without waiting. `limit` is not 0.
    #[inline]
    pub(in crate::image) fn resolve(&self, start: GuestOffset, limit: u64) -> Attempt<Run> {
        self.file.tables.resolve(self.file.files.image.id(), self.l1, start, limit)
    }

    /// Notifies the observers that `range` is about to change.
    #[inline]
    pub(in crate::image) fn notify(&self, range: &Range<u64>) {
        self.file.observers.notify(range);
    }

    /// Fails if the `length` bytes at host offset `host` of the data file hold metadata.
    #[inline]
    pub(in crate::image) fn check_host(&self, host: HostOffset, length: u64) -> Result<(), Corrupt> {
        // A data file holds no metadata.
        if self.file.files.data_file.is_some() { Ok(()) } else { self.writeback.check_host(host, length) }
    }
}

impl<'a, S: StorageMut> Disk<'a, S> {
    /// Waits for operations that restructure the tables, and makes the next one wait.
    pub(in crate::image) async fn enter(image: &'a Image<S>) -> Result<Self, Error<S::Error>> {
        let writeback = image.writable()?;
        let inside = writeback.gate.enter().await;
        writeback.check_writable()?;
        let file = &*image.top;
        if !writeback.is_header_ready() {
            let _guard = writeback.lock.acquire().await;
            writeback.prepare_header(&file.files).await?;
        }
        Ok(Self { file, l1: file.active.l1(), writeback, inside: Some(inside) })
    }

    /// As [`Disk::enter`], without waiting. Returns `None` if it would have to wait, or if the image cannot be written.
    #[inline]
    pub(in crate::image) fn try_enter(image: &'a Image<S>) -> Option<Self> {
        let writeback = image.writable().ok()?;
        let inside = writeback.gate.try_enter()?;
        let file = &*image.top;
        writeback.is_header_ready().then(|| Self { file, l1: file.active.l1(), writeback, inside: Some(inside) })
    }

    /// Completes a change with this result. A corruption marks the image as corrupt, so that nothing else is written
    /// before it is repaired.
    pub(in crate::image) async fn conclude<T>(&self, result: Result<T, Error<S::Error>>) -> Result<T, Error<S::Error>> {
        // A compressed cluster that cannot be decompressed affects only guest data.
        if let Err(Error::Corrupt(corrupt)) = &result
            && !matches!(corrupt, Corrupt::Compressed { .. })
        {
            let _guard = self.writeback.lock.acquire().await;
            self.writeback.mark_corrupt(&self.file.files).await?;
        }
        if result.is_ok() && self.writeback.write_through {
            let _guard = self.writeback.lock.acquire().await;
            self.writeback.flush(&self.file.files).await?;
        }
        result
    }

    /// Writes guest data at `guest` to host offset `host`. The caller locks the sectors of an encrypted image.
    ///
    /// A failure loses only these bytes: nothing else depends on them.
    pub(in crate::image) async fn write_data(
        &self,
        guest: GuestOffset,
        host: HostOffset,
        buf: &[u8],
    ) -> Result<(), Error<S::Error>> {
        // A barrier may have failed since the request began.
        self.writeback.check_writable()?;
        let data = self.file.files.data();
        match &self.file.encrypted {
            None => data.write(host, buf).await.map_err(Error::Storage),
            Some(encrypted) => encrypted.write(data, guest, host, buf, || self.writeback.check_writable()).await,
        }
    }
}
