//! Writing compressed clusters.

use alloc::vec;

use crate::error::{Error, Misuse};
use crate::format::l2::{CompressedSpan, L2Entry};
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::change::Change;
use crate::image::change::disk::Disk;
use crate::image::change::wait::Wait;
use crate::image::read::check_range;
use crate::meta::reservation::Reservation;
use crate::storage::StorageMut;

impl<S: StorageMut> Image<S> {
    /// Writes `buf` at `offset` of the disk in compressed clusters.
    ///
    /// A cluster that does not become smaller is written uncompressed.
    ///
    /// `offset` and the length must be multiples of the cluster size; the end may also be the end of the disk.
    /// Otherwise as [`write_at`](Self::write_at). A later write to a part of a compressed cluster decompresses and
    /// replaces it.
    pub async fn write_compressed(&self, offset: u64, buf: &[u8]) -> Result<(), Error<S::Error>> {
        self.check_compressed_write(offset, buf.len() as u64)?;
        self.change_length(offset, buf.len() as u64, Change::Compress(buf)).await
    }

    /// Checks whether `length` bytes at `offset` can be written in compressed clusters. Does no I/O.
    ///
    /// [`write_compressed`](Self::write_compressed) fails with the same error.
    pub fn check_compressed_write(&self, offset: u64, length: u64) -> Result<(), Error<S::Error>> {
        check_range(offset, length, self.size())?;
        self.writable()?;
        let (geometry, end) = (self.top.tables.geometry(), offset + length);
        if !geometry.is_cluster_aligned(offset) || !(geometry.is_cluster_aligned(end) || end == self.size()) {
            return Err(Misuse::UnalignedCompressedWrite { offset, length }.into());
        }
        if self.top.files.data_file.is_some() {
            return Err(Misuse::CompressedDataFile.into());
        }
        if self.top.encrypted.is_some() {
            return Err(Misuse::CompressedEncryption.into());
        }
        Ok(())
    }

    pub(in crate::image) async fn write_compressed_clusters(
        &self,
        disk: &Disk<'_, S>,
        offset: GuestOffset,
        buf: &[u8],
    ) -> Result<(), Error<S::Error>> {
        let geometry = disk.geometry();
        // At most 2 MiB.
        let cluster_size = usize::try_from(geometry.cluster_size()).unwrap_or(usize::MAX);
        for (data, index) in buf.chunks(cluster_size).zip(0..) {
            let start = offset.plus(index << geometry.cluster_bits());
            if data.len() == cluster_size {
                self.write_compressed_cluster(disk, start, data, data.len()).await?;
            } else {
                let mut whole = vec![0; cluster_size];
                whole[..data.len()].copy_from_slice(data);
                self.write_compressed_cluster(disk, start, &whole, data.len()).await?;
            }
        }
        Ok(())
    }

    /// Writes the cluster at `start`, whose first `length` bytes are on the disk.
    async fn write_compressed_cluster(
        &self,
        disk: &Disk<'_, S>,
        start: GuestOffset,
        whole: &[u8],
        length: usize,
    ) -> Result<(), Error<S::Error>> {
        let Some(compressed) = disk.file.compressed.compress(whole)? else {
            let data = whole.get(..length).unwrap_or(whole);
            return self.write_steps(disk, start, data).await;
        };
        self.write_precompressed_cluster(disk, start, &compressed).await?;
        disk.file.compressed.recycle(compressed);
        Ok(())
    }

    /// Writes the cluster at `start` with the compressed data `compressed`.
    pub(in crate::image) async fn write_precompressed_cluster(
        &self,
        disk: &Disk<'_, S>,
        start: GuestOffset,
        compressed: &[u8],
    ) -> Result<(), Error<S::Error>> {
        let cluster = start.0 >> disk.geometry().cluster_bits();
        let _held = disk.writeback.cluster_locks.lock(cluster..cluster + 1).await;
        let old = disk
            .complete(|| {
                let entries = disk.entries(&disk.resolve(start, 1)?, cluster..cluster + 1)?;
                entries.map(|entries| entries.first()).ok_or(Wait::Tables(cluster..cluster + 1))
            })
            .await?;
        let reservation = self.reserve_bytes(disk, compressed.len() as u64).await?;
        let host = reservation.start();
        disk.check_host(host, compressed.len() as u64)?;
        let image = &disk.file.files.image;
        let span = CompressedSpan::of_bytes(host, compressed.len() as u64);
        disk.writeback.check_writable()?;
        image.write(host, compressed).await.map_err(Error::Storage)?;
        // Nothing reads the old data here any more: no cluster is reused while a request may still use it.
        disk.file.compressed.forget(image.id(), span);
        let _guard = disk.writeback.lock.acquire().await;
        disk.set_entry(old.offset, L2Entry::compressed(span, disk.geometry())).await?;
        reservation.keep();
        disk.free_cluster(&old);
        disk.writeback.write_back_if_due(&disk.file.files).await
    }

    /// Reserves `length` bytes, less than a cluster, for a compressed cluster.
    async fn reserve_bytes<'a>(&self, disk: &Disk<'a, S>, length: u64) -> Result<Reservation<'a>, Error<S::Error>> {
        let writeback = disk.writeback;
        let _guard = writeback.lock.acquire().await;
        let start = writeback.allocate_bytes(&disk.file.files.image, length).await?;
        let counted = CompressedSpan::of_bytes(start, length).clusters(disk.geometry());
        Ok(Reservation::new(writeback, counted, start))
    }
}
