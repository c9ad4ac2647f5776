//! Restructuring the tables: writes new tables beside the old ones, and switches by one write of the header.
//!
//! A snapshot changes the refcount of every cluster of the disk, and with it the COPIED flag of every entry. No order of
//! writes in place keeps the two consistent at every moment. So nothing is changed in place:
//!
//! 1. New tables and new refcount blocks are written to free clusters, followed by one barrier.
//! 2. One write of a sector, the header's [`TablePointers`], makes them the tables of the image.
//! 3. After another barrier, the old tables are free.
//!
//! ```text
//! (flush) | new L1 and L2 tables, snapshot table, refcount blocks, refcount table | header | (the old are free)
//! ```
//!
//! A crash, an error or a dropped future at any moment leaves either the complete old image or the complete new one, without
//! a leak. The costs are those of writes in place, and temporarily the space of the tables that change.
//!
//! The caller holds exclusive access, so that no request uses the old tables, and the metadata lock.

use alloc::vec::Vec;
use core::ops::Range;

use super::exclusive::ExclusiveGuard;
use super::host_file::Files;
use super::lock::Guard;
use super::new_refcounts::NewRefcounts;
use super::writeback::Writeback;
use crate::error::{Corrupt, Error};
use crate::format::header::table_pointers::TablePointers;
use crate::format::units::HostOffset;
use crate::storage::StorageMut;

/// New tables of an image. If this is dropped before [`Restructure::commit`], the image does not change.
pub(crate) struct Restructure<'a, S> {
    files: &'a Files<S>,
    writeback: &'a Writeback,
    refcounts: NewRefcounts<'a>,
    table_pointers: TablePointers,
    /// Clusters to remove from the metadata ranges at the commit.
    dropped: Vec<Range<u64>>,
    /// Clusters to add to them.
    added: Vec<Range<u64>>,
    _guard: Guard<'a>,
}

impl<'a, S: StorageMut> Restructure<'a, S> {
    /// Begins a restructuring: writes back all earlier changes and makes them durable.
    pub(crate) async fn begin(
        files: &'a Files<S>,
        writeback: &'a Writeback,
        _closed: &ExclusiveGuard<'_>,
    ) -> Result<Self, Error<S::Error>> {
        let guard = writeback.lock.acquire().await;
        writeback.prepare_header(files).await?;
        writeback.drain(files).await?;
        let refcounts = NewRefcounts::of(&writeback.refcounts);
        let table_pointers = writeback.table_pointers();
        Ok(Self { files, writeback, refcounts, table_pointers, dropped: Vec::new(), added: Vec::new(), _guard: guard })
    }

    /// Returns the new table pointers of the header.
    pub(crate) fn table_pointers(&mut self) -> &mut TablePointers {
        &mut self.table_pointers
    }

    /// Adds a reference to each of `clusters`.
    pub(crate) async fn add_references(&self, clusters: Range<u64>) -> Result<(), Error<S::Error>> {
        self.refcounts.add(&self.files.image, clusters).await?;
        self.write_back_if_due().await
    }

    /// Removes a reference from each of `clusters`.
    pub(crate) async fn remove_references(&self, clusters: Range<u64>) -> Result<(), Error<S::Error>> {
        self.refcounts.remove(&self.files.image, clusters).await?;
        self.write_back_if_due().await
    }

    /// Calls `found` with the new refcount of each of `clusters`, in order.
    pub(crate) async fn refcounts(&self, clusters: Range<u64>, found: impl FnMut(u64)) -> Result<(), Error<S::Error>> {
        self.refcounts.get(&self.files.image, clusters, found).await
    }

    /// Moves the refcount blocks at or after cluster `from` to free clusters. Drops those that count only clusters at or
    /// after `end`, which are all free.
    pub(crate) async fn move_refcount_blocks(&self, from: u64, end: u64) -> Result<(), Error<S::Error>> {
        self.refcounts.move_blocks(&self.files.image, from, end).await?;
        self.write_back_if_due().await
    }

    /// Moves the refcount table at the commit, even if no refcount changes otherwise.
    pub(crate) async fn move_refcount_table(&self) -> Result<(), Error<S::Error>> {
        let table = self.table_pointers.refcount_table_range(self.writeback.geometry());
        self.refcounts.copy_block_of(&self.files.image, table.start).await
    }

    /// Fails if one of `clusters` holds metadata.
    pub(crate) fn check_data(&self, clusters: Range<u64>) -> Result<(), Corrupt> {
        self.writeback.refcounts.metadata_ranges.check(clusters, self.writeback.geometry().cluster_bits())
    }

    /// Writes `bytes` to newly allocated contiguous clusters, and returns their host offset.
    ///
    /// Zeros fill the rest of the last cluster. No table of the image points to these clusters yet.
    pub(crate) async fn write_new(&self, mut bytes: Vec<u8>) -> Result<HostOffset, Error<S::Error>> {
        let cluster_size = self.writeback.cluster_size();
        bytes.resize(bytes.len().next_multiple_of(cluster_size), 0);
        let clusters = (bytes.len() / cluster_size) as u64;
        let start = self.writeback.offset_of(self.refcounts.allocate(&self.files.image, clusters).await?);
        self.writeback.write_table(self.files, start, &bytes).await?;
        self.write_back_if_due().await?;
        Ok(start)
    }

    /// Registers `clusters` as metadata at the commit, so that no data is written there.
    pub(crate) fn register_table(&mut self, clusters: Range<u64>) {
        self.added.push(clusters);
    }

    /// Removes `clusters` from the metadata ranges at the commit.
    pub(crate) fn unregister_table(&mut self, clusters: Range<u64>) {
        self.dropped.push(clusters);
    }

    /// Makes these the tables of the image.
    ///
    /// The caller updates its own state after this without an await in between. If this is dropped, the old header is
    /// written again before anything else is written.
    pub(crate) async fn commit(mut self) -> Result<(), Error<S::Error>> {
        if self.refcounts.has_changed() {
            let moved =
                self.writeback.write_new_refcounts(self.files, &self.refcounts, &mut self.table_pointers).await?;
            self.unregister_table(moved.from);
            self.register_table(moved.to);
        }
        self.writeback.switch_table_pointers(self.files, self.table_pointers, self.refcounts.end()).await?;
        let metadata_ranges = &self.writeback.refcounts.metadata_ranges;
        self.dropped.drain(..).for_each(|clusters| metadata_ranges.remove(clusters));
        self.added.drain(..).for_each(|clusters| metadata_ranges.add(clusters));
        self.refcounts.adopt();
        self.writeback.end_compressed_cluster();
        self.writeback.count_table_change();
        Ok(())
    }

    async fn write_back_if_due(&self) -> Result<(), Error<S::Error>> {
        if self.writeback.exceeds_dirty_limit(self.refcounts.dirty.len()) {
            self.writeback.write_dirty(&self.files.image, &self.refcounts.dirty).await?;
        }
        Ok(())
    }
}
