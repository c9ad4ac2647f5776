//! Preallocating clusters that were never written.

use alloc::vec;
use core::ops::Range;

use crate::error::Error;
use crate::format::l2::L2Entry;
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::change::disk::Disk;
use crate::image::change::wait::Wait;
use crate::storage::StorageMut;

/// How many clusters are allocated at once.
const CHUNK: u64 = 512;
/// How many zeros are written at once.
const ZEROS: u64 = 1 << 20;

impl<S: StorageMut> Image<S> {
    /// Allocates every cluster of a new image, so that later writes change no table.
    ///
    /// With `visible`, the clusters are mapped and read as zeros; without, a backing file stays visible until they are
    /// written. With `filled`, zeros are written to them.
    pub(in crate::image) async fn preallocate(&self, visible: bool, filled: bool) -> Result<(), Error<S::Error>> {
        let disk = Disk::enter(self).await?;
        let clusters = disk.clusters(GuestOffset(0), self.size());
        self.preallocate_clusters(&disk, clusters, visible, filled).await
    }

    /// As [`Image::preallocate`], for those of `clusters` that have no host cluster yet and hold only zeros.
    pub(in crate::image) async fn preallocate_clusters(
        &self,
        disk: &Disk<'_, S>,
        clusters: Range<u64>,
        visible: bool,
        filled: bool,
    ) -> Result<(), Error<S::Error>> {
        let geometry = disk.geometry();
        let all = if visible { u32::MAX >> (32 - geometry.subclusters()) } else { 0 };
        // The zeros that extend the file of an encrypted image would be decrypted, so its clusters must be marked as
        // zero, or hold encrypted zeros.
        let encrypted = disk.file.encrypted.is_some();
        let filled = filled || encrypted && !disk.file.header().is_version_3();
        let (allocated, zero) = if encrypted && !filled { (0, all) } else { (all, 0) };
        let mut first = clusters.start;
        while first < clusters.end {
            let wanted = first..clusters.end.min(first + CHUNK);
            let entries = disk
                .complete(|| {
                    let entries = disk.entries(&disk.resolve(disk.guest_offset(first), 1)?, wanted.clone())?;
                    entries.ok_or_else(|| Wait::Tables(wanted.clone()))
                })
                .await?;
            let entries = entries.as_slice();
            let wanted = entries.iter().take_while(|entry| entry.host().is_none()).count() as u64;
            if wanted == 0 {
                first += 1;
                continue;
            }
            let (mut reservation, count) = disk.reserve(first, wanted).await?;
            let host = reservation.start();
            let (data, length) = (disk.file.files.data(), count << geometry.cluster_bits());
            // New parts of the file are zeros; older parts may hold anything.
            let written = match (filled, encrypted) {
                (true, _) => length,
                (false, true) => 0,
                (false, false) => data.untouched().saturating_sub(host.0).min(length),
            };
            let zeros = vec![0; usize::try_from(written.min(ZEROS)).unwrap_or(0)];
            for at in (0..written).step_by(zeros.len().max(1)) {
                let part = zeros.get(..usize::try_from(written - at).unwrap_or(zeros.len())).unwrap_or(&zeros);
                disk.write_data(disk.guest_offset(first).plus(at), host.plus(at), part).await?;
            }
            if data.size() < host.plus(length).0 {
                // The file must contain all its clusters.
                disk.writeback.write(data.set_size(host.plus(length).0)).await?;
            }
            let entry = |index: u64| {
                let host = host.plus(index << geometry.cluster_bits());
                L2Entry::copied(host, allocated, zero, geometry)
            };
            let _guard = disk.writeback.lock.acquire().await;
            for (old, index) in entries.iter().zip(0..count) {
                disk.set_entry(old.offset, entry(index)).await?;
                reservation.keep_first();
            }
            disk.writeback.write_back_if_due(&disk.file.files).await?;
            first += count;
        }
        Ok(())
    }
}
