//! Changing the tables as a whole: written beside the old ones, and switched to by one write of the header.
//!
//! A snapshot changes the reference count of every cluster of the disk, and with it the COPIED flag of every entry. No
//! order of writing in place keeps the two in agreement at every moment. So nothing is changed in place: new tables and
//! new refcount blocks are written to free clusters, with one barrier behind them all; then one write of a sector, the
//! header's [`Roots`], makes them the tables of the image; after another barrier the old ones are free.
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

use super::exclusive::Closed;
use super::host_file::Files;
use super::lock::Guard;
use super::new_refcounts::NewCounts;
use super::writeback::Writeback;
use crate::error::{Corrupt, Error};
use crate::format::header::table_pointers::Roots;
use crate::format::units::HostOffset;
use crate::storage::StorageMut;

/// New tables of an image. Dropped before [`Restructure::commit`], they never were.
pub(crate) struct Restructure<'a, S> {
    files: &'a Files<S>,
    writeback: &'a Writeback,
    counts: NewCounts<'a>,
    roots: Roots,
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
        _closed: &Closed<'_>,
    ) -> Result<Self, Error<S::Error>> {
        let guard = writeback.lock.acquire().await;
        writeback.make_ready(files).await?;
        writeback.settle(files).await?;
        let counts = NewCounts::of(&writeback.refcounts);
        let roots = writeback.roots();
        Ok(Self { files, writeback, counts, roots, dropped: Vec::new(), added: Vec::new(), _guard: guard })
    }

    /// What the header will say.
    pub(crate) fn roots(&mut self) -> &mut Roots {
        &mut self.roots
    }

    /// Adds a reference to each of `clusters`.
    pub(crate) async fn add_references(&self, clusters: Range<u64>) -> Result<(), Error<S::Error>> {
        self.counts.add(&self.files.image, clusters).await?;
        self.relieve().await
    }

    /// Takes a reference from each of `clusters`.
    pub(crate) async fn remove_references(&self, clusters: Range<u64>) -> Result<(), Error<S::Error>> {
        self.counts.remove(&self.files.image, clusters).await?;
        self.relieve().await
    }

    /// Tells `found` the new count of each of `clusters`, in order.
    pub(crate) async fn counts(&self, clusters: Range<u64>, found: impl FnMut(u64)) -> Result<(), Error<S::Error>> {
        self.counts.counts(&self.files.image, clusters, found).await
    }

    /// Fails where one of `clusters` is not for data.
    pub(crate) fn check_data(&self, clusters: Range<u64>) -> Result<(), Corrupt> {
        self.writeback.refcounts.occupied.check(clusters, self.writeback.geometry().cluster_bits())
    }

    /// Writes `bytes` to clusters that are free, side by side, each with one reference from now on.
    ///
    /// What no other table of the image points to yet; the last cluster is filled with zeros.
    pub(crate) async fn write_new(&self, mut bytes: Vec<u8>) -> Result<HostOffset, Error<S::Error>> {
        let cluster_size = self.writeback.cluster_size();
        bytes.resize(bytes.len().next_multiple_of(cluster_size), 0);
        let clusters = (bytes.len() / cluster_size) as u64;
        let place = self.writeback.offset_of(self.counts.take(&self.files.image, clusters).await?);
        self.writeback.write_table(self.files, place, &bytes).await?;
        self.relieve().await?;
        Ok(place)
    }

    /// Takes note that there is a table in `clusters`, where no data may be written.
    pub(crate) fn note_table(&mut self, clusters: Range<u64>) {
        self.added.push(clusters);
    }

    /// Takes note that there is no such table in `clusters` any more.
    pub(crate) fn forget_table(&mut self, clusters: Range<u64>) {
        self.dropped.push(clusters);
    }

    /// Makes these the tables of the image. Nothing is to be waited for between its end and whatever else has to know.
    ///
    /// When it is dropped, the header is made again what it was before anything else is written.
    pub(crate) async fn commit(mut self) -> Result<(), Error<S::Error>> {
        if self.counts.has_changed() {
            let moved = self.writeback.write_new_counts(self.files, &self.counts, &mut self.roots).await?;
            self.forget_table(moved.from);
            self.note_table(moved.to);
        }
        self.writeback.switch_roots(self.files, self.roots, self.counts.end()).await?;
        let occupied = &self.writeback.refcounts.occupied;
        self.dropped.drain(..).for_each(|clusters| occupied.remove(clusters));
        self.added.drain(..).for_each(|clusters| occupied.add(clusters));
        self.counts.adopt();
        self.writeback.forget_packed();
        Ok(())
    }

    async fn relieve(&self) -> Result<(), Error<S::Error>> {
        if self.writeback.is_much(self.counts.dirty.len()) {
            self.writeback.write_dirty(&self.files.image, &self.counts.dirty).await?;
        }
        Ok(())
    }
}
