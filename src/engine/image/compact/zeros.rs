//! Freeing the clusters of the disk that hold only zeros.

use alloc::vec;
use core::ops::Range;

use super::MAX_BATCH;
use crate::error::Error;
use crate::format::units::{GuestOffset, usize_of};
use crate::image::Image;
use crate::image::change::disk::Disk;
use crate::image::change::zero::Zeroing;
use crate::image::progress::Steps;
use crate::meta::run::Mapping;
use crate::storage::StorageMut;

impl<S: StorageMut> Image<S> {
    /// Frees the host clusters of all clusters of the disk that read as zeros.
    ///
    /// Does nothing where that is impossible: with a data file, in version 2 with a backing file, and if a backing file is
    /// not open.
    pub(super) async fn free_zeros(&self, steps: &mut Steps<'_>) -> Result<(), Error<S::Error>> {
        let (header, geometry) = (self.top.header(), self.top.tables.geometry());
        let has_backing = header.raw().has_backing_file();
        if self.top.files.data_file.is_some() || self.lacks_backing() || !header.is_version_3() && has_backing {
            return Ok(());
        }
        steps.expect_more(self.size().div_ceil(geometry.cluster_size()));
        let mut at = 0;
        while at < self.size() {
            let closed = self.exclusive().await?;
            // The disk may have been resized meanwhile.
            if at >= self.size() {
                break;
            }
            let disk = Disk::exclusive(&self.top, self.writable()?, &closed);
            let result = self.free_zeros_at(&disk, at).await;
            let end = disk.conclude(result).await?;
            drop(closed);
            disk.pause().await;
            steps.advance((end - at).div_ceil(geometry.cluster_size()))?;
            at = end;
        }
        Ok(())
    }

    /// Frees zeros in the first clusters from `at`. Returns the end of these clusters.
    async fn free_zeros_at(&self, disk: &Disk<'_, S>, at: u64) -> Result<u64, Error<S::Error>> {
        let cluster_size = disk.geometry().cluster_size();
        let (tables, image, start) = (&disk.file.tables, &disk.file.files.image, GuestOffset(at));
        let limit = self.size() - at;
        let run = tables.run(image, disk.l1, start, limit, disk.resolve(start, limit)).await?;
        let whole = if run.length == limit { limit } else { run.length - run.length % cluster_size };
        let has_host = !matches!(run.mapping, Mapping::Unallocated(None) | Mapping::Zero(None));
        if whole > 0 && !has_host {
            return Ok(at + whole);
        }
        let batch = at..self.size().min(at + MAX_BATCH.max(cluster_size));
        let mut data = vec![0; usize_of(batch.end - batch.start)];
        self.read_chain(start, &mut data).await?;
        let mut zeros: Range<u64> = at..at;
        for (cluster, start) in data.chunks(usize_of(cluster_size)).zip((at..).step_by(usize_of(cluster_size))) {
            let end = start + cluster.len() as u64;
            if is_zero(cluster) {
                zeros.end = end;
                continue;
            }
            self.free_range(disk, zeros).await?;
            zeros = end..end;
        }
        self.free_range(disk, zeros).await?;
        Ok(batch.end)
    }

    async fn free_range(&self, disk: &Disk<'_, S>, zeros: Range<u64>) -> Result<(), Error<S::Error>> {
        if zeros.is_empty() { Ok(()) } else { self.zero_range(disk, zeros, Zeroing::ZeroAndUnmap).await }
    }
}

/// Returns whether all bytes are 0.
fn is_zero(bytes: &[u8]) -> bool {
    // Blocks without a branch in between, which the compiler can vectorise.
    bytes.chunks(64).all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
}
