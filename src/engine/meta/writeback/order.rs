//! Writes dirty metadata back, in the order that keeps the file sound.

use alloc::vec::Vec;

use super::Writeback;
use crate::error::Error;
use crate::format::refcount::TABLE_ENTRY_SIZE;
use crate::format::units::HostOffset;
use crate::meta::dirty_slices::Dirty;
use crate::meta::host_file::{Files, HostFile};
use crate::storage::StorageMut;

/// The most bytes of freed clusters that may wait for a flush before they can be allocated again.
const MAX_FREED: u64 = 16 << 20;

impl Writeback {
    /// Writes back if many slices are dirty. Flushes if many clusters were freed, so that they can be allocated again.
    pub(crate) async fn write_back_if_due<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        if self.exceeds_freed_limit() {
            self.flush(files).await
        } else if self.is_write_back_due() {
            self.write_back(files).await
        } else {
            Ok(())
        }
    }

    /// Returns whether the limit of dirty slices or of freed clusters is exceeded.
    pub(crate) fn is_write_back_due(&self) -> bool {
        self.exceeds_dirty_limit(self.refcounts.dirty.len() + self.new_tables.len() + self.links.len())
            || self.exceeds_freed_limit()
    }

    /// Returns whether so many clusters were freed since the last flush that the file would grow unnecessarily.
    fn exceeds_freed_limit(&self) -> bool {
        self.freed.since_flush() > MAX_FREED >> self.geometry.cluster_bits()
    }

    /// Returns whether `dirty` slices make a write-back due.
    pub(in crate::meta) fn exceeds_dirty_limit(&self, dirty: usize) -> bool {
        dirty > self.max_dirty
    }

    /// Makes all earlier writes durable, and then decrements the refcounts of clusters whose unlink is durable.
    pub(crate) async fn flush<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.check_writable()?;
        // This barrier does not cover clusters that are freed while it waits.
        let covered = self.freed.seal();
        self.write_back(files).await?;
        self.barrier(files).await?;
        self.freed.set_durable(covered);
        self.release_freed(&files.image).await
    }

    /// Flushes until the refcounts in the file match its tables, unless active requests may still use freed clusters.
    pub(crate) async fn drain<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.flush(files).await?;
        // The first flush has decremented refcounts in memory; the second one writes them.
        if self.is_drained() { Ok(()) } else { self.flush(files).await }
    }

    fn is_drained(&self) -> bool {
        self.freed.is_empty() && self.refcounts.dirty.is_empty()
    }

    /// Writes back everything, in order. The last writes may not be durable.
    async fn write_back<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.complete_header(files).await?;
        self.write_dirty(&files.image, &self.new_tables).await?;
        self.write_refcounts(files).await?;
        if !self.links.is_empty() {
            self.barrier(files).await?;
        }
        // From here on the file may point to the new tables, even if this is dropped before it ends.
        self.unlinked_tables.borrow_mut().clear();
        self.write_dirty(&files.image, &self.links).await
    }

    async fn write_refcounts<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.write_dirty(&files.image, &self.refcounts.dirty).await?;
        if self.refcounts.must_move_table() {
            return self.move_refcount_table(files).await;
        }
        let table = self.table_pointers().refcount_table;
        let entries = self.refcounts.dirty_table_entries();
        if entries.is_empty() {
            return Ok(());
        }
        self.barrier(files).await?;
        for (index, block) in entries {
            let offset = table.plus(index * TABLE_ENTRY_SIZE);
            self.write(files.image.write(offset, &block.to_be_bytes())).await?;
        }
        self.refcounts.table_is_written();
        Ok(())
    }

    /// Writes the dirty sectors of slices, and combines contiguous ones into one request.
    ///
    /// The slices do not change meanwhile, because the caller holds the lock. If this fails or is dropped, the slices that
    /// were not written stay dirty.
    pub(in crate::meta) async fn write_dirty<S: StorageMut>(
        &self,
        file: &HostFile<S>,
        dirty: &Dirty,
    ) -> Result<(), Error<S::Error>> {
        let mut buf = Vec::new();
        loop {
            let (offset, count) = dirty.gather(&mut buf);
            if count == 0 {
                return Ok(());
            }
            self.write(file.write(offset, &buf)).await?;
            dirty.mark_written(count);
        }
    }

    /// Writes a table, or a range of one, to clusters that nothing in the file points to.
    pub(in crate::meta) async fn write_table<S: StorageMut>(
        &self,
        files: &Files<S>,
        offset: HostOffset,
        bytes: &[u8],
    ) -> Result<(), Error<S::Error>> {
        for at in (0..bytes.len() as u64).step_by(self.slice_size.bytes()) {
            self.cache.forget(files.image.id(), offset.plus(at));
        }
        self.write(files.image.write(offset, bytes)).await
    }

    /// Truncates the file after the last cluster that is in use. No other request may use the image.
    pub(crate) async fn cut_file<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let end = self.refcounts.end_of_allocated(&files.image).await? << self.geometry.cluster_bits();
        if end < files.image.size() {
            self.write(files.image.set_size(end)).await?;
        }
        self.barrier(files).await
    }

    pub(super) async fn barrier<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        // Sequentially, because a write may fail during the data file's barrier.
        if let Some(data_file) = &files.data_file {
            self.sync(data_file.flush()).await?;
        }
        self.sync(files.image.flush()).await
    }
}
