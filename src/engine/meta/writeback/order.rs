//! Bringing it to the file, in the order that keeps it sound.

use alloc::vec::Vec;

use super::Writeback;
use crate::error::Error;
use crate::format::refcount::TABLE_ENTRY_SIZE;
use crate::format::units::HostOffset;
use crate::meta::dirty_slices::Dirty;
use crate::meta::host_file::{Files, HostFile};
use crate::storage::StorageMut;

/// How many bytes of clusters may wait for a flush before they can be used again.
const MAX_FREED: u64 = 16 << 20;

impl Writeback {
    /// Writes back, if much is dirty; flushes, if much was freed, so that it can be used again.
    pub(crate) async fn write_back_if_due<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        if self.exceeds_freed_limit() {
            self.flush(files).await
        } else if self.is_write_back_due() {
            self.write_back(files).await
        } else {
            Ok(())
        }
    }

    /// Returns whether much is dirty, or freed.
    pub(crate) fn is_write_back_due(&self) -> bool {
        self.exceeds_dirty_limit(self.refcounts.dirty.len() + self.new_tables.len() + self.links.len())
            || self.exceeds_freed_limit()
    }

    /// Returns whether so much was freed since the last flush that the file would grow without need.
    fn exceeds_freed_limit(&self) -> bool {
        self.freed.since_flush() > MAX_FREED >> self.geometry.cluster_bits()
    }

    /// Whether so many dirty slices are to be written.
    pub(in crate::meta) fn exceeds_dirty_limit(&self, dirty: usize) -> bool {
        dirty > self.max_dirty
    }

    /// Makes durable all that was written before, and then frees what was unlinked.
    pub(crate) async fn flush<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.check_writable()?;
        // What is freed while this waits is not covered by its barrier.
        let covered = self.freed.seal();
        self.write_back(files).await?;
        self.barrier(files).await?;
        self.freed.set_durable(covered);
        self.release_freed(&files.image).await
    }

    /// Flushes until the counts in the file are those of its tables, unless requests still use what was freed.
    pub(crate) async fn drain<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.flush(files).await?;
        // What was freed by then is counted down now.
        if self.is_drained() { Ok(()) } else { self.flush(files).await }
    }

    fn is_drained(&self) -> bool {
        self.freed.is_empty() && self.refcounts.dirty.is_empty()
    }

    /// Brings everything to the file, in order; the last of it may not be durable.
    async fn write_back<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.complete_header(files).await?;
        self.write_dirty(&files.image, &self.new_tables).await?;
        self.write_refcounts(files).await?;
        if !self.links.is_empty() {
            self.barrier(files).await?;
        }
        // From here on the file may point to them, also where this is dropped before it ends.
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
            let place = table.plus(index * TABLE_ENTRY_SIZE);
            self.write(files.image.write(place, &block.to_be_bytes())).await?;
        }
        self.refcounts.table_is_written();
        Ok(())
    }

    /// Writes the dirty sectors of slices, neighbours by one request. Nobody else changes them meanwhile, for the caller
    /// holds the lock. When it fails or is dropped, what was not written is still dirty.
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

    /// Writes tables, or parts of one, to clusters to which nothing in the file points.
    pub(in crate::meta) async fn write_table<S: StorageMut>(
        &self,
        files: &Files<S>,
        place: HostOffset,
        bytes: &[u8],
    ) -> Result<(), Error<S::Error>> {
        for at in (0..bytes.len() as u64).step_by(self.slice_size.bytes()) {
            self.cache.forget(files.image.id(), place.plus(at));
        }
        self.write(files.image.write(place, bytes)).await
    }

    /// Cuts off what the file has behind the last cluster that is in use. Nobody uses the image.
    pub(crate) async fn cut_file<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let end = self.refcounts.end_of_allocated(&files.image).await? << self.geometry.cluster_bits();
        if end < files.image.size() {
            self.write(files.image.set_size(end)).await?;
        }
        self.barrier(files).await
    }

    pub(super) async fn barrier<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        // One by one: a write may fail while the data file's barrier is waited for.
        if let Some(data_file) = &files.data_file {
            self.sync(data_file.flush()).await?;
        }
        self.sync(files.image.flush()).await
    }
}
