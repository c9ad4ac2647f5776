//! Bringing it to the file, in the order that keeps it sound.

use alloc::vec::Vec;

use super::Writeback;
use crate::error::Error;
use crate::field;
use crate::format::header::table_pointers::Roots;
use crate::format::refcount::TABLE_ENTRY_SIZE;
use crate::format::units::HostOffset;
use crate::meta::dirty_slices::Dirty;
use crate::meta::host_file::{Files, HostFile};
use crate::meta::reservation::Reservation;
use crate::storage::StorageMut;

impl Writeback {
    /// Writes back, if much is dirty.
    pub(crate) async fn relieve<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        if self.is_relief_due() { self.write_back(files).await } else { Ok(()) }
    }

    /// Whether much is dirty.
    pub(crate) fn is_relief_due(&self) -> bool {
        self.is_much(self.refcounts.dirty.len() + self.new_tables.len() + self.links.len())
    }

    /// Whether so many dirty slices are to be written.
    pub(in crate::meta) fn is_much(&self, dirty: usize) -> bool {
        dirty > self.max_dirty
    }

    /// Makes durable all that was written before, and then frees what was unlinked.
    pub(crate) async fn flush<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.check_writable()?;
        self.settle_header(files).await?;
        // What is freed while this waits is not covered by its barrier.
        let covered = self.freed.len();
        self.write_back(files).await?;
        self.barrier(files).await?;
        self.freed.are_durable(covered);
        self.count_down(&files.image).await
    }

    /// Flushes until the counts in the file are those of its tables, unless requests still use what was freed.
    pub(crate) async fn settle<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.flush(files).await?;
        // What was freed by then is counted down now; and once more, where the refcount table was moved by it.
        for _ in 0..2 {
            if self.owes_nothing() {
                break;
            }
            self.flush(files).await?;
        }
        Ok(())
    }

    fn owes_nothing(&self) -> bool {
        self.freed.len() == 0 && self.refcounts.dirty.is_empty()
    }

    /// Brings everything to the file, in order; the last of it may not be durable.
    async fn write_back<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.write_refcounts(files).await?;
        self.write_dirty(&files.image, &self.new_tables).await?;
        if !self.links.is_empty() {
            self.barrier(files).await?;
        }
        // From here on the file may point to them, also where this is dropped before it ends.
        self.unlinked_tables.borrow_mut().clear();
        self.write_dirty(&files.image, &self.links).await
    }

    async fn write_refcounts<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let roots = self.header.get().roots();
        if self.refcounts.table_bytes() > u64::from(roots.refcount_table_clusters) * self.geometry.cluster_size() {
            return self.move_refcount_table(files).await;
        }
        self.write_dirty(&files.image, &self.refcounts.dirty).await?;
        let entries = self.refcounts.dirty_table_entries();
        if entries.is_empty() {
            return Ok(());
        }
        self.barrier(files).await?;
        for (index, block) in entries {
            let place = roots.refcount_table.plus(index * TABLE_ENTRY_SIZE);
            self.watch(files.image.write(place, &block.to_be_bytes())).await?;
        }
        self.refcounts.table_is_written();
        Ok(())
    }

    /// Puts the refcount table, which has outgrown its place, into a larger one: written whole, and then switched to by
    /// one write of the header.
    ///
    /// When it is dropped, the next write-back does it again, in another place: the header may point to this one, which is
    /// free once it points to that.
    async fn move_refcount_table<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let file = &files.image;
        let clusters = self.refcounts.table_bytes() / self.geometry.cluster_size();
        let header = self.header.get();
        let place = self.refcounts.allocate_contiguous(file, clusters).await?;
        let reservation = Reservation::new(self, place.clone(), self.offset_of(place.start));
        let offset = reservation.start();
        // The blocks first: the table must not point to one that isn't there.
        self.write_dirty(file, &self.refcounts.dirty).await?;
        self.watch(file.write(offset, &self.refcounts.whole_table())).await?;
        self.barrier(files).await?;
        let refcount_table_clusters = u32::try_from(clusters).unwrap_or(u32::MAX);
        let roots = Roots { refcount_table: offset, refcount_table_clusters, ..header.roots() };
        self.watch(file.write(HostOffset(field::SIZE), &roots.to_bytes())).await?;
        reservation.keep();
        self.refcounts.table_is_written();
        self.refcounts.occupied.add(place);
        let old = header.roots().refcount_table_place(self.geometry);
        self.header.set(header.with_roots(roots));
        self.refcounts.occupied.remove(old.clone());
        self.free(old);
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
            self.watch(file.write(offset, &buf)).await?;
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
        self.watch(files.image.write(place, bytes)).await
    }

    /// Cuts off what the file has behind the last cluster that is in use. Nobody uses the image.
    pub(crate) async fn cut_file<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let end = self.refcounts.end_of_use(&files.image).await? << self.geometry.cluster_bits();
        if end < files.image.size() {
            self.watch(files.image.set_size(end)).await?;
        }
        self.barrier(files).await
    }

    pub(super) async fn barrier<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        // One by one: a write may fail while the data file's barrier is waited for.
        if let Some(data_file) = &files.data_file {
            self.watch(data_file.flush()).await?;
        }
        self.watch(files.image.flush()).await
    }
}
