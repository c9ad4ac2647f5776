//! Making an image independent of its backing file: copying its data, then removing its name.

use alloc::vec;
use core::ops::Range;

use crate::error::{Error, Misuse};
use crate::format::geometry::Geometry;
use crate::format::units::{GuestOffset, usize_of};
use crate::image::Image;
use crate::image::change::Change;
use crate::image::change::disk::Disk;
use crate::image::change::step::LockedBy;
use crate::meta::run::Mapping;
use crate::storage::StorageMut;

/// The most bytes that are read at once and held in memory; always whole clusters.
const MAX_SEGMENT: u64 = 1 << 20;

impl<S: StorageMut> Image<S> {
    /// Copies the data of the backing file into the clusters that the `length` bytes at `offset` touch.
    ///
    /// Only clusters that the image does not map itself are copied, so the disk reads as before. Zeros take no space,
    /// except in version 2, if only reading the data shows that they are zeros.
    ///
    /// Other requests continue meanwhile. Those that allocate the same clusters wait, and their data is kept. Dropping
    /// the future leaves a part of the range copied. Without a backing file, this does nothing.
    pub async fn copy_up(&self, offset: u64, length: u64) -> Result<(), Error<S::Error>> {
        self.change_length(offset, length, Change::CopyUp).await
    }

    /// Removes the backing file's name from the header, if the disk no longer needs the file.
    ///
    /// The disk does not need it if every part that the backing file provides is zeros or has been copied up. The disk
    /// reads as before, even when it is opened without the file.
    ///
    /// Waits for the running requests; new requests wait for it. The change is durable when it completes. A crash, or
    /// dropping the future, leaves an image with or without the name; both read the same. This handle keeps the backing
    /// file open.
    ///
    /// # Errors
    ///
    /// [`Misuse::BackingNeeded`] if a part of the disk comes from the backing file, if there are snapshots, which may
    /// need it too, and if the image was opened without it, so that the need is unknown.
    pub async fn remove_backing(&self) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        let _closed = writeback.gate.close().await;
        writeback.check_writable()?;
        if self.top.header().raw().backing_name().is_none() {
            return Ok(());
        }
        if self.layers.len() == 1 || !self.snapshots().is_empty() || self.needs_backing().await? {
            return Err(Misuse::BackingNeeded.into());
        }
        let _guard = writeback.lock.acquire().await;
        writeback.prepare_header(&self.top.files).await?;
        writeback.flush(&self.top.files).await?;
        writeback.forget_backing(&self.top.files).await
    }

    async fn needs_backing(&self) -> Result<bool, Error<S::Error>> {
        let mut at = 0;
        while at < self.size() {
            let extent = crate::image::read::map::extent_at(&self.layers, at, self.size() - at).await?;
            if extent.depth > 0 && !extent.zero {
                return Ok(true);
            }
            at += extent.length;
        }
        Ok(false)
    }

    pub(in crate::image) async fn copy_clusters_up(
        &self,
        disk: &Disk<'_, S>,
        range: Range<u64>,
    ) -> Result<(), Error<S::Error>> {
        if range.is_empty() || self.layers.len() == 1 {
            return Ok(());
        }
        let bits = disk.geometry().cluster_bits();
        let clusters = disk.clusters(GuestOffset(range.start), range.end - range.start);
        let mut first = clusters.start;
        while first < clusters.end {
            let segment = first..clusters.end.min(first + (MAX_SEGMENT >> bits).max(1));
            // While these clusters are locked, only this operation changes their entries.
            let _held = disk.writeback.cluster_locks.lock(segment.clone()).await;
            let mut range = segment.start << bits..segment.end << bits;
            while let Some(missing) = first_missing(disk, range.clone()).await? {
                self.copy_missing_up(disk, missing.clone()).await?;
                range.start = missing.end;
            }
            disk.pause().await;
            first = segment.end;
        }
        Ok(())
    }

    /// Copies whole subclusters that the image does not map. The caller has locked their clusters.
    async fn copy_missing_up(&self, disk: &Disk<'_, S>, missing: Range<u64>) -> Result<(), Error<S::Error>> {
        let mut data = vec![0; usize_of(missing.end - missing.start)];
        self.read_chain(GuestOffset(missing.start), &mut data).await?;
        let mut start = missing.start;
        let mut rest = data.as_slice();
        while !rest.is_empty() {
            let (length, zero) = first_part(disk.geometry(), start, rest);
            let (part, _) = rest.split_at(length);
            let copied = if zero && disk.file.header().is_version_3() {
                self.mark_zeros(disk, start..start + length as u64).await?;
                length
            } else if zero && self.is_zero(GuestOffset(start), length).await? {
                length
            } else {
                let step = || disk.write_step(GuestOffset(start), part.len() as u64, LockedBy::Caller);
                let step = disk.complete(step).await?;
                self.run_step(disk, step, GuestOffset(start), part).await?
            };
            start += copied as u64;
            rest = rest.get(copied..).unwrap_or_default();
        }
        Ok(())
    }
}

/// Returns the first subclusters within `range` that the image does not map: the backing file provides their data.
async fn first_missing<S: StorageMut>(
    disk: &Disk<'_, S>,
    range: Range<u64>,
) -> Result<Option<Range<u64>>, Error<S::Error>> {
    let mut at = range.start;
    while at < range.end {
        let run = disk.complete(|| Ok(disk.resolve(GuestOffset(at), range.end - at)?)).await?;
        if matches!(run.mapping, Mapping::Unallocated(_)) {
            return Ok(Some(at..at + run.length));
        }
        at += run.length;
    }
    Ok(None)
}

/// Returns how many bytes of `data`, at `start` of the disk, can be handled alike, cluster by cluster, and whether they
/// are zeros.
fn first_part(geometry: Geometry, start: u64, data: &[u8]) -> (usize, bool) {
    let cluster_size = usize_of(geometry.cluster_size());
    let first = cluster_size - usize_of(geometry.offset_in_cluster(GuestOffset(start)));
    let (first_part, rest) = data.split_at(first.min(data.len()));
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    let zero = is_zero(first_part);
    let alike = rest.chunks(cluster_size).take_while(|part| is_zero(part) == zero);
    (first_part.len() + alike.map(<[u8]>::len).sum::<usize>(), zero)
}
