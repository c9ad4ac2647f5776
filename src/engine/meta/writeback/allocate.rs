//! Allocates and frees clusters.

use core::ops::Range;

use super::Writeback;
use crate::error::{Corrupt, Error, Misuse};
use crate::format::units::HostOffset;
use crate::meta::attempt::{Attempt, Pins};
use crate::meta::host_file::{FileId, HostFile};
use crate::storage::Storage;

impl Writeback {
    /// Frees one reference to each of `clusters`. Nothing in memory may point to them any more.
    #[inline]
    pub(crate) fn free(&self, clusters: Range<u64>) {
        if !clusters.is_empty() {
            self.freed.add(&self.requests, clusters);
        }
    }

    /// Allocates clusters like [`Refcounts::allocate`](crate::meta::refcounts::Refcounts::allocate).
    pub(crate) async fn allocate<S: Storage>(
        &self,
        file: &HostFile<S>,
        wanted: u64,
    ) -> Result<Range<u64>, Error<S::Error>> {
        self.release_freed(file).await?;
        self.refcounts.allocate(file, wanted).await
    }

    /// Allocates up to `wanted` contiguous clusters from the first candidate, without waiting.
    ///
    /// Returns `None` if the candidate is not known to be free: see [`Writeback::find_free`]. The caller holds the lock.
    pub(crate) fn try_allocate(&self, file: FileId, wanted: u64) -> Attempt<Option<Range<u64>>> {
        if self.freed.ready(&self.requests).is_some() {
            return Ok(None);
        }
        self.refcounts.try_allocate(file, wanted)
    }

    /// Finds a free cluster, so that [`Writeback::try_allocate`] succeeds, and pins the slice with its refcount.
    pub(crate) async fn find_free<S: Storage>(
        &self,
        file: &HostFile<S>,
        pins: &mut Pins,
    ) -> Result<(), Error<S::Error>> {
        self.release_freed(file).await?;
        self.refcounts.find_free(file, pins).await
    }

    /// Fails if the `length` bytes at host offset `offset` of the image file hold metadata.
    #[inline]
    pub(crate) fn check_host(&self, offset: HostOffset, length: u64) -> Result<(), Corrupt> {
        let end = offset.plus(length).0.div_ceil(self.geometry.cluster_size());
        self.refcounts.metadata_ranges.check(self.cluster_of(offset)..end, self.geometry.cluster_bits())
    }

    /// Allocates `length` bytes, less than a cluster, for a compressed cluster: after the last one if there is room.
    ///
    /// This adds a reference to each host cluster that contains some of these bytes.
    pub(crate) async fn allocate_bytes<S: Storage>(
        &self,
        file: &HostFile<S>,
        length: u64,
    ) -> Result<HostOffset, Error<S::Error>> {
        self.release_freed(file).await?;
        let start = match self.compressed_end.get() {
            Some(end) if self.extend_compressed(file, end, length).await? => end,
            _ => {
                let clusters = self.allocate(file, 1).await?;
                let start = self.offset_of(clusters.start);
                if !self.fits_compressed_entry(start) {
                    self.free(clusters);
                    return Err(Misuse::ImageFull.into());
                }
                start
            }
        };
        let end = start.plus(length);
        let has_room = !self.geometry.is_cluster_aligned(end.0) && self.fits_compressed_entry(end);
        self.compressed_end.set(has_room.then_some(end));
        Ok(start)
    }

    /// Returns whether the L2 entry of a compressed cluster can hold the offset `start`.
    fn fits_compressed_entry(&self, start: HostOffset) -> bool {
        start.0 >> self.geometry.compressed_offset_bits() == 0
    }

    /// Allocates `length` bytes at `end`, if they fit into its cluster or the next cluster is free. Returns whether it did.
    async fn extend_compressed<S: Storage>(
        &self,
        file: &HostFile<S>,
        end: HostOffset,
        length: u64,
    ) -> Result<bool, Error<S::Error>> {
        let cluster = self.cluster_of(end);
        let crosses = self.cluster_of(HostOffset(end.plus(length).0 - 1)) != cluster;
        let Some(entry) = self.refcounts.entry(file, cluster).await? else {
            return Ok(false);
        };
        if entry.get() >= self.refcounts.max() {
            return Ok(false);
        }
        if crosses {
            let next = cluster + 1;
            let Some(next_entry) = self.refcounts.entry(file, next).await? else {
                return Ok(false);
            };
            if next < self.refcounts.candidate() || next_entry.get() != 0 {
                return Ok(false);
            }
            self.refcounts.check_allocatable::<Error<S::Error>>(next..next + 1)?;
            // There must be no await from here on: a future that is dropped there would leak a reference.
            next_entry.set(1);
        }
        entry.set(entry.get() + 1);
        Ok(true)
    }

    /// Makes the next compressed cluster begin a new host cluster, because that of the last one may be free now.
    pub(crate) fn end_compressed_cluster(&self) {
        self.compressed_end.set(None);
    }

    /// Decrements the refcounts of freed clusters that may be reused. This is in order, so the first that may not ends it.
    pub(super) async fn release_freed<S: Storage>(&self, file: &HostFile<S>) -> Result<(), Error<S::Error>> {
        while let Some(cluster) = self.freed.ready(&self.requests) {
            let free = self.refcounts.decrement(file, cluster).await?;
            // Not earlier: if this were dropped at the await above, the cluster would leak.
            self.freed.remove_first();
            if free && self.compressed_end.get().is_some_and(|end| self.cluster_of(end) == cluster) {
                self.compressed_end.set(None);
            }
        }
        Ok(())
    }
}
