//! Mapping the whole disk of a new image.

use alloc::vec;

use super::Image;
use super::change::Disk;
use crate::error::Error;
use crate::format::l2::L2Entry;
use crate::format::units::GuestOffset;
use crate::storage::StorageMut;

/// How many clusters are mapped at once.
const CHUNK: u64 = 512;
/// How many zeros are written at once.
const ZEROS: u64 = 1 << 20;

impl<S: StorageMut> Image<S> {
    /// Allocates every cluster of a new image, so that later writes change no table. With `shown`, the clusters are the
    /// disk's, of zeros; without, a backing file shows until they are written. With `filled`, the zeros are written.
    pub(super) async fn preallocate(&self, shown: bool, filled: bool) -> Result<(), Error<S::Error>> {
        let disk = Disk::of(self.disk())?;
        let geometry = disk.geometry();
        let clusters = disk.clusters(GuestOffset(0), self.size());
        let allocated = if shown { u32::MAX >> (32 - geometry.subclusters()) } else { 0 };
        let mut first = clusters.start;
        while first < clusters.end {
            let (mut reservation, count) = disk.reserve(first, CHUNK.min(clusters.end - first)).await?;
            let place = reservation.start();
            let (data, length) = (disk.file.files.data(), count << geometry.cluster_bits());
            if filled {
                let zeros = vec![0; usize::try_from(length.min(ZEROS)).unwrap_or(0)];
                for at in (0..length).step_by(zeros.len().max(1)) {
                    let part = zeros.get(..usize::try_from(length - at).unwrap_or(zeros.len())).unwrap_or(&zeros);
                    disk.writeback.watch(data.write(place.plus(at), part)).await?;
                }
            } else if data.size() < place.plus(length).0 {
                // The file must reach as far as its clusters do; what it grows by is zeros.
                disk.writeback.watch(data.set_size(place.plus(length).0)).await?;
            }
            let entry = |index: u64| {
                let host = place.plus(index << geometry.cluster_bits());
                L2Entry::owned(host, allocated, 0, geometry)
            };
            let _guard = disk.writeback.lock.acquire().await;
            for index in 0..count {
                disk.set_entry(first + index, entry(index)).await?;
                reservation.keep_first();
            }
            disk.writeback.relieve(&disk.file.files).await?;
            first += count;
        }
        Ok(())
    }
}
