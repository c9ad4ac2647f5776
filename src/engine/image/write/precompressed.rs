//! Writing clusters that were compressed elsewhere.

use crate::codec::PackedClusters;
use crate::error::{Error, Misuse};
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::change::Change;
use crate::image::change::disk::Disk;
use crate::storage::StorageMut;

impl<S: StorageMut> Image<S> {
    /// Writes clusters that a [`Packer`](crate::Packer) has compressed, from `offset` of the disk.
    ///
    /// The packer must use the image's compression type and cluster size. Clusters that are all zeros are skipped: in a
    /// new image they read as zeros.
    ///
    /// `offset` must be a multiple of the cluster size. The lengths are checked. The compressed data is not, because
    /// decompressing it takes as long as reading it: if it is invalid, reading that cluster fails with
    /// [`Corrupt`](crate::Corrupt). Otherwise as [`write_compressed`](Self::write_compressed).
    pub async fn write_precompressed(&self, offset: u64, clusters: &PackedClusters) -> Result<(), Error<S::Error>> {
        let length = self.check_precompressed_write(offset, clusters)?;
        self.change_length(offset, length, Change::Precompressed(clusters)).await
    }

    /// Returns how many bytes of the disk the clusters cover.
    fn check_precompressed_write(&self, offset: u64, clusters: &PackedClusters) -> Result<u64, Error<S::Error>> {
        let geometry = self.top.tables.geometry();
        let PackedClusters { lengths, bytes } = clusters;
        let length = (lengths.len() as u64).saturating_mul(geometry.cluster_size());
        // The last cluster may reach past the end of the disk.
        let past_end = offset.saturating_add(length).saturating_sub(self.size());
        let on_disk = if past_end < geometry.cluster_size() { length.saturating_sub(past_end) } else { length };
        self.check_compressed_write(offset, on_disk)?;
        let stored: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        let fits = lengths.iter().all(|length| u64::from(*length) <= geometry.cluster_size());
        if fits && stored == bytes.len() as u64 {
            return Ok(on_disk);
        }
        Err(Misuse::UnalignedCompressedWrite { offset, length: bytes.len() as u64 }.into())
    }

    pub(in crate::image) async fn write_precompressed_clusters(
        &self,
        disk: &Disk<'_, S>,
        offset: GuestOffset,
        clusters: &PackedClusters,
    ) -> Result<(), Error<S::Error>> {
        let geometry = disk.geometry();
        let (mut start, mut rest) = (offset, clusters.bytes.as_slice());
        for length in &clusters.lengths {
            let (stored, after) = rest.split_at(usize::try_from(*length).unwrap_or(usize::MAX).min(rest.len()));
            if u64::from(*length) == geometry.cluster_size() {
                let on_disk = usize::try_from(self.size().saturating_sub(start.0)).unwrap_or(usize::MAX);
                self.write_steps(disk, start, &stored[..stored.len().min(on_disk)]).await?;
            } else if !stored.is_empty() {
                self.write_precompressed_cluster(disk, start, stored).await?;
            }
            (start, rest) = (start.plus(geometry.cluster_size()), after);
        }
        Ok(())
    }
}
