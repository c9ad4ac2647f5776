//! Changing the tables as a whole: written beside the old ones, and switched to by one write of the header.
//!
//! A snapshot changes the reference count of every cluster of the disk, and with it the COPIED flag of every entry. No
//! order of writing in place keeps the two in agreement at every moment. So nothing is changed in place: new tables and
//! new refcount blocks are written to free clusters, with one barrier behind them all; then one write of a sector, the
//! header's [`TablePointers`], makes them the tables of the image; after another barrier the old ones are free.
//!
//! ```text
//! (flush) | new L1 and L2 tables, snapshot table, refcount blocks, refcount table | header | (the old are free)
//! ```
//!
//! A crash, a fault or a dropped future at any moment leaves either the old image or the new one, whole, and not even a
//! leak. It costs what writing in place costs, and for a while the space of the tables that change.
//!
//! Whoever does it keeps the gate closed, so that no request uses the old tables, and the metadata lock.

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

/// New tables of an image. Dropped before [`Restructure::commit`], they never were.
pub(crate) struct Restructure<'a, S> {
    files: &'a Files<S>,
    writeback: &'a Writeback,
    refcounts: NewRefcounts<'a>,
    table_pointers: TablePointers,
    /// Clusters of tables that the image doesn't have any more, or not as tables of which it keeps note; and new ones.
    dropped: Vec<Range<u64>>,
    added: Vec<Range<u64>>,
    _guard: Guard<'a>,
}

impl<'a, S: StorageMut> Restructure<'a, S> {
    /// Writes back and makes durable all that was changed before.
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

    /// What the header will say.
    pub(crate) fn table_pointers(&mut self) -> &mut TablePointers {
        &mut self.table_pointers
    }

    /// Adds a reference to each of `clusters`.
    pub(crate) async fn add_references(&self, clusters: Range<u64>) -> Result<(), Error<S::Error>> {
        self.refcounts.add(&self.files.image, clusters).await?;
        self.write_back_if_due().await
    }

    /// Takes a reference from each of `clusters`.
    pub(crate) async fn remove_references(&self, clusters: Range<u64>) -> Result<(), Error<S::Error>> {
        self.refcounts.remove(&self.files.image, clusters).await?;
        self.write_back_if_due().await
    }

    /// Tells `found` the new count of each of `clusters`, in order.
    pub(crate) async fn refcounts(&self, clusters: Range<u64>, found: impl FnMut(u64)) -> Result<(), Error<S::Error>> {
        self.refcounts.get(&self.files.image, clusters, found).await
    }

    /// Fails where one of `clusters` is not for data.
    pub(crate) fn check_data(&self, clusters: Range<u64>) -> Result<(), Corrupt> {
        self.writeback.refcounts.metadata_ranges.check(clusters, self.writeback.geometry().cluster_bits())
    }

    /// Writes `bytes` to clusters that are free, side by side, each with one reference from now on.
    ///
    /// What no other table of the image points to yet; the last cluster is filled with zeros.
    pub(crate) async fn write_new(&self, mut bytes: Vec<u8>) -> Result<HostOffset, Error<S::Error>> {
        let cluster_size = self.writeback.cluster_size();
        bytes.resize(bytes.len().next_multiple_of(cluster_size), 0);
        let clusters = (bytes.len() / cluster_size) as u64;
        let place = self.writeback.offset_of(self.refcounts.allocate(&self.files.image, clusters).await?);
        self.writeback.write_table(self.files, place, &bytes).await?;
        self.write_back_if_due().await?;
        Ok(place)
    }

    /// Takes note that there is a table in `clusters`, where no data may be written.
    pub(crate) fn register_table(&mut self, clusters: Range<u64>) {
        self.added.push(clusters);
    }

    /// Takes note that there is no such table in `clusters` any more.
    pub(crate) fn unregister_table(&mut self, clusters: Range<u64>) {
        self.dropped.push(clusters);
    }

    /// Makes these the tables of the image. Nothing is to be waited for between its end and whatever else has to know.
    ///
    /// When it is dropped, the header is made again what it was before anything else is written.
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
        Ok(())
    }

    async fn write_back_if_due(&self) -> Result<(), Error<S::Error>> {
        if self.writeback.exceeds_dirty_limit(self.refcounts.dirty.len()) {
            self.writeback.write_dirty(&self.files.image, &self.refcounts.dirty).await?;
        }
        Ok(())
    }
}
