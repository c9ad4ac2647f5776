//! The only code that writes metadata: it owns the order.
//!
//! What must hold in the file at every moment, whatever of the last writes got lost: *no table entry points to a
//! cluster whose reference is not counted, or that is not filled.* Then a crash leaves leaked clusters at worst.
//! Hence the order, a barrier at each `|`:
//!
//! ```text
//! data, refcount blocks, tables that nothing points to yet | refcount table | L2 and L1 entries | (flush ends) | free
//! ```
//!
//! - Data are written by the requests themselves, before they link them: so they are behind the first barrier.
//! - Refcount blocks only ever hold more references than the file's tables, never fewer: what is unlinked keeps its
//!   count until the unlink is durable. So they can be written at any time.
//! - The refcount table changes only where a block is new, which is rare: most flushes have two barriers, and those
//!   that only rewrite data one.
//! - The refcount table may also move to a larger place: then it is written whole with the blocks, and what is written
//!   behind their barrier is the header.
//! - Where lazy refcounts are allowed, nothing is different: the blocks go out before a barrier that the data need
//!   anyway, so to be late with them would save a write and no barrier. So the dirty bit is never set; that an image has
//!   it says that another program was late, and its counts are rebuilt when it is opened.
//! - A cluster that was unlinked, or allocated in vain, is counted down after the flush that made that durable, and
//!   when no request is left that may still use it: only then can it be taken again.

use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use super::current_header::CurrentHeader;
use super::dirty::Dirty;
use super::freed::FreedClusters;
use super::gate::Gate;
use super::host_file::{FileId, Files, HostFile};
use super::inflight::InFlight;
use super::lock::Lock;
use super::refcounts::Refcounts;
use super::requests::Requests;
use super::table_cache::{SliceRef, SliceSize, TableCache};
use crate::error::{Corrupt, Error, Misuse};
use crate::field;
use crate::format::feature;
use crate::format::geometry::Geometry;
use crate::format::header::Roots;
use crate::format::l2::L2Entry;
use crate::format::refcount::TABLE_ENTRY_SIZE;
use crate::format::units::HostOffset;
use crate::storage::{Storage, StorageMut};

/// What of a file's metadata is not written yet.
pub(crate) struct Writeback {
    /// Held by whoever changes metadata; never while guest data are read or written.
    pub(crate) lock: Lock,
    pub(crate) refcounts: Refcounts,
    pub(crate) requests: Requests,
    /// Held closed by whoever changes the tables as a whole.
    pub(crate) gate: Gate,
    /// Guest clusters whose entries are about to change.
    pub(crate) in_flight: InFlight,
    geometry: Geometry,
    slice_size: SliceSize,
    cache: Rc<TableCache>,
    /// Every change is made durable at once.
    pub(crate) write_through: bool,
    /// How many dirty slices make a write-back due.
    max_dirty: usize,
    /// Slices of tables that nothing in the file points to.
    new_tables: Dirty,
    /// The beginnings of those tables.
    unlinked_tables: RefCell<BTreeSet<u64>>,
    /// Slices of tables that the file points to.
    links: Dirty,
    freed: FreedClusters,
    /// A write failed: nothing may be written any more.
    poisoned: Cell<bool>,
    header: Rc<CurrentHeader>,
    /// A write of the header was dropped: the file may have another one than `header` says.
    header_in_doubt: Cell<bool>,
    /// Where the last compressed cluster ends, within a cluster that has room for more.
    packed_end: Cell<Option<HostOffset>>,
}

impl Writeback {
    pub(crate) async fn open<S: Storage>(
        file: &HostFile<S>,
        header: Rc<CurrentHeader>,
        cache: Rc<TableCache>,
        cache_budget: usize,
        write_through: bool,
    ) -> Result<Self, Error<S::Error>> {
        let geometry = header.get().geometry();
        let slice_size = SliceSize::of(geometry);
        let refcounts = Refcounts::open(file, &header.get(), cache.clone()).await?;
        // The header, and the table itself.
        refcounts.occupied.add([0]);
        refcounts.occupied.add(header.get().roots().refcount_table_place(geometry));
        Ok(Self {
            lock: Lock::default(),
            gate: Gate::default(),
            refcounts,
            requests: Requests::default(),
            in_flight: InFlight::default(),
            geometry,
            slice_size,
            cache,
            write_through,
            max_dirty: cache_budget / 2 / slice_size.bytes(),
            new_tables: Dirty::default(),
            unlinked_tables: RefCell::default(),
            links: Dirty::default(),
            freed: FreedClusters::default(),
            poisoned: Cell::new(false),
            header,
            header_in_doubt: Cell::new(false),
            packed_end: Cell::new(None),
        })
    }

    /// Refuses every write after one that failed.
    pub(crate) fn check_writable(&self) -> Result<(), Misuse> {
        if self.poisoned.get() { Err(Misuse::Poisoned) } else { Ok(()) }
    }

    /// Refuses every write from now on.
    pub(crate) fn poison(&self) {
        self.poisoned.set(true);
    }

    /// Carries out a write or a barrier, unless one has failed before; and remembers if this one fails.
    pub(crate) async fn watch<E>(&self, change: impl Future<Output = Result<(), E>>) -> Result<(), Error<E>> {
        self.check_writable()?;
        change.await.map_err(|error| {
            self.poisoned.set(true);
            Error::Storage(error)
        })
    }

    /// A new table of zeros at `start`, which the caller allocated.
    pub(crate) fn add_table<S: Storage>(&self, file: &HostFile<S>, start: HostOffset) {
        for at in (0..self.geometry.cluster_size()).step_by(self.slice_size.bytes()) {
            let slice = self.cache.insert_zeroed(file.id(), self.slice_size, start.plus(at));
            self.new_tables.add_whole(start.plus(at), &slice);
        }
        self.unlinked_tables.borrow_mut().insert(start.0);
    }

    /// Takes note that there is a table at `start` from now on, for an entry points to it.
    pub(crate) fn keep_table(&self, start: HostOffset) {
        self.refcounts.occupied.add([self.cluster_of(start)]);
    }

    /// Takes note that there is no table at `start` any more.
    pub(crate) fn remove_table(&self, start: HostOffset) {
        self.refcounts.occupied.remove([self.cluster_of(start)]);
    }

    /// Sets the word at `offset` of an L1 or L2 table.
    pub(crate) async fn set_entry<S: Storage>(
        &self,
        file: &HostFile<S>,
        offset: HostOffset,
        word: u64,
    ) -> Result<(), Error<S::Error>> {
        let (slice, at) = self.slice_at(file, offset).await?;
        let (start, _) = self.slice_size.split(offset);
        self.dirty_of(offset).set_word(start, &slice, at, word);
        Ok(())
    }

    /// Sets the L2 entry at `offset`, if its table is in memory; whether it is.
    pub(crate) fn set_held_entry(&self, file: FileId, offset: HostOffset, entry: L2Entry) -> bool {
        let (start, _) = self.slice_size.split(offset);
        let dirty = self.dirty_of(offset);
        let set = self.cache.with_held(file, self.slice_size, offset, |slice, at| {
            dirty.set_word(start, slice, at, entry.word);
            if self.geometry.extended_l2() {
                dirty.set_word(start, slice, at + 8, entry.bitmap);
            }
        });
        set.is_some()
    }

    /// Where a change of the word at `offset` of a table belongs.
    fn dirty_of(&self, offset: HostOffset) -> &Dirty {
        let table = offset.0 & !(self.geometry.cluster_size() - 1);
        if self.unlinked_tables.borrow().contains(&table) { &self.new_tables } else { &self.links }
    }

    /// The word at `offset` of an L1 or L2 table.
    pub(crate) async fn entry<S: Storage>(
        &self,
        file: &HostFile<S>,
        offset: HostOffset,
    ) -> Result<u64, Error<S::Error>> {
        let (slice, at) = self.slice_at(file, offset).await?;
        Ok(slice.word(at))
    }

    /// Sets the two words of the extended L2 entry at `offset`.
    pub(crate) async fn set_entry_pair<S: Storage>(
        &self,
        file: &HostFile<S>,
        offset: HostOffset,
        word: u64,
        bitmap: u64,
    ) -> Result<(), Error<S::Error>> {
        // Once the slice is there, and it is held, nothing waits.
        let _slice = self.slice_at(file, offset).await?;
        self.set_entry(file, offset, word).await?;
        self.set_entry(file, offset.plus(8), bitmap).await
    }

    /// Copies the table at `from` to the new one at `to`.
    pub(crate) async fn copy_table<S: Storage>(
        &self,
        file: &HostFile<S>,
        from: HostOffset,
        to: HostOffset,
    ) -> Result<(), Error<S::Error>> {
        for at in (0..self.geometry.cluster_size()).step_by(self.slice_size.bytes()) {
            let (source, _) = self.slice_at(file, from.plus(at)).await?;
            let (target, _) = self.slice_at(file, to.plus(at)).await?;
            target.copy_from(&source);
        }
        Ok(())
    }

    async fn slice_at<S: Storage>(
        &self,
        file: &HostFile<S>,
        offset: HostOffset,
    ) -> Result<(SliceRef, usize), Error<S::Error>> {
        self.cache.slice_at(file, self.slice_size, offset).await.map_err(Error::Storage)
    }

    /// Gives up a reference to each of `clusters`: nothing in memory points to them any more.
    pub(crate) fn free(&self, clusters: impl IntoIterator<Item = u64>) {
        self.freed.add(&self.requests, clusters);
    }

    /// Takes clusters, as [`Refcounts::allocate`].
    pub(crate) async fn allocate<S: Storage>(
        &self,
        file: &HostFile<S>,
        wanted: u64,
    ) -> Result<Range<u64>, Error<S::Error>> {
        self.count_down(file).await?;
        self.refcounts.allocate(file, wanted).await
    }

    /// Takes the first free cluster, if that begins at `from` or behind it, and what is in memory tells it. The caller
    /// holds the lock.
    pub(crate) fn allocate_held(&self, file: FileId, from: u64) -> Option<u64> {
        let none_to_count_down = self.freed.ready(&self.requests).is_none();
        let first = self.refcounts.first_candidate.get();
        if none_to_count_down && self.offset_of(first).0 >= from { self.refcounts.allocate_held(file) } else { None }
    }

    /// Fails where `length` bytes at `place` of the image file are not for data.
    pub(crate) fn check_place(&self, place: HostOffset, length: u64) -> Result<(), Corrupt> {
        let end = place.plus(length).0.div_ceil(self.geometry.cluster_size());
        self.refcounts.occupied.check(self.cluster_of(place)..end, self.geometry.cluster_bits())
    }

    /// Takes `length` bytes, less than a cluster, for a compressed cluster: behind the last one if there is room. Each
    /// cluster that they touch has one reference more.
    pub(crate) async fn allocate_bytes<S: Storage>(
        &self,
        file: &HostFile<S>,
        length: u64,
    ) -> Result<HostOffset, Error<S::Error>> {
        self.count_down(file).await?;
        let start = match self.packed_end.get() {
            Some(end) if self.extend_packed(file, end, length).await? => end,
            _ => {
                let clusters = self.allocate(file, 1).await?;
                HostOffset(clusters.start << self.geometry.cluster_bits())
            }
        };
        let end = start.plus(length);
        self.packed_end.set(Some(end).filter(|end| !self.geometry.is_cluster_aligned(end.0)));
        Ok(start)
    }

    /// Takes the bytes behind `end`, where that leaves room in its cluster or the next one is free.
    async fn extend_packed<S: Storage>(
        &self,
        file: &HostFile<S>,
        end: HostOffset,
        length: u64,
    ) -> Result<bool, Error<S::Error>> {
        let cluster = self.cluster_of(end);
        let crosses = self.cluster_of(HostOffset(end.plus(length).0 - 1)) != cluster;
        if crosses && !self.refcounts.allocate_at(file, cluster + 1).await? {
            return Ok(false);
        }
        let counted = self.refcounts.increment(file, cluster).await?;
        if crosses && !counted {
            self.refcounts.decrement(file, cluster + 1).await?;
        }
        Ok(counted)
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// At most 2 MiB.
    pub(super) fn cluster_size(&self) -> usize {
        usize::try_from(self.geometry.cluster_size()).unwrap_or(usize::MAX)
    }

    /// Where the cluster begins.
    pub(super) fn offset_of(&self, cluster: u64) -> HostOffset {
        HostOffset(cluster << self.geometry.cluster_bits())
    }

    /// The next compressed cluster begins a cluster of its own: what the last one is in may be free now.
    pub(super) fn forget_packed(&self) {
        self.packed_end.set(None);
    }

    fn cluster_of(&self, offset: HostOffset) -> u64 {
        offset.0 >> self.geometry.cluster_bits()
    }

    /// Writes back, if much is dirty.
    pub(crate) async fn relieve<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        if self.is_relief_due() { self.write_back(files).await } else { Ok(()) }
    }

    /// Whether much is dirty.
    pub(crate) fn is_relief_due(&self) -> bool {
        self.is_much(self.refcounts.dirty.len() + self.new_tables.len() + self.links.len())
    }

    /// Whether so many dirty slices are to be written.
    pub(super) fn is_much(&self, dirty: usize) -> bool {
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

    /// Counts down what is freed for good: in the order in which it was freed, so the first that can't be ends it.
    async fn count_down<S: Storage>(&self, file: &HostFile<S>) -> Result<(), Error<S::Error>> {
        while let Some(cluster) = self.freed.ready(&self.requests) {
            let free = self.refcounts.decrement(file, cluster).await?;
            // Not before: what is dropped while it waits would be forgotten.
            self.freed.remove_first();
            if free && self.packed_end.get().is_some_and(|end| self.cluster_of(end) == cluster) {
                self.packed_end.set(None);
            }
        }
        Ok(())
    }

    /// Brings everything to the file, in order; the last of it may not be durable.
    async fn write_back<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.write_refcounts(files).await?;
        self.write_dirty(&files.image, &self.new_tables).await?;
        if !self.links.is_empty() {
            self.barrier(files).await?;
            self.write_dirty(&files.image, &self.links).await?;
        }
        self.unlinked_tables.borrow_mut().clear();
        Ok(())
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
    /// When it is dropped, the next write-back does it again, in another place: the header may point to this one.
    async fn move_refcount_table<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let file = &files.image;
        let clusters = self.refcounts.table_bytes() / self.geometry.cluster_size();
        let header = self.header.get();
        let place = self.refcounts.allocate_contiguous(file, clusters).await?;
        let offset = HostOffset(place.start << self.geometry.cluster_bits());
        // The blocks first: the table must not point to one that isn't there.
        self.write_dirty(file, &self.refcounts.dirty).await?;
        self.watch(file.write(offset, &self.refcounts.whole_table())).await?;
        self.barrier(files).await?;
        let refcount_table_clusters = u32::try_from(clusters).unwrap_or(u32::MAX);
        let roots = Roots { refcount_table: offset, refcount_table_clusters, ..header.roots() };
        self.watch(file.write(HostOffset(field::SIZE), &roots.to_bytes())).await?;
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
    pub(super) async fn write_dirty<S: StorageMut>(
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

    /// What the header says.
    pub(crate) fn roots(&self) -> Roots {
        self.header.get().roots()
    }

    /// Writes tables, or parts of one, to clusters to which nothing in the file points.
    pub(super) async fn write_table<S: StorageMut>(
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

    /// Makes durable what was written, switches the header to other roots, and makes that durable.
    pub(super) async fn switch_roots<S: StorageMut>(
        &self,
        files: &Files<S>,
        roots: Roots,
    ) -> Result<(), Error<S::Error>> {
        self.barrier(files).await?;
        self.header_in_doubt.set(true);
        self.watch(files.image.write(HostOffset(field::SIZE), &roots.to_bytes())).await?;
        self.barrier(files).await?;
        self.header_in_doubt.set(false);
        self.header.set(self.header.get().with_roots(roots));
        Ok(())
    }

    /// Cuts off what the file has behind the last cluster that is in use. Nobody uses the image.
    pub(crate) async fn cut_file<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let end = self.refcounts.end_of_use(&files.image).await? << self.geometry.cluster_bits();
        if end < files.image.size() {
            self.watch(files.image.set_size(end)).await?;
        }
        self.barrier(files).await
    }

    pub(crate) fn is_header_in_doubt(&self) -> bool {
        self.header_in_doubt.get()
    }

    /// Makes the header what it should be, where a write of it was dropped.
    pub(crate) async fn settle_header<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        if self.header_in_doubt.get() {
            let roots = self.header.get().roots();
            self.watch(files.image.write(HostOffset(field::SIZE), &roots.to_bytes())).await?;
            self.barrier(files).await?;
            self.header_in_doubt.set(false);
        }
        Ok(())
    }

    async fn barrier<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        // One by one: a write may fail while the data file's barrier is waited for.
        if let Some(data_file) = &files.data_file {
            self.watch(data_file.flush()).await?;
        }
        self.watch(files.image.flush()).await
    }

    /// Marks the image as corrupt, so that it is not written again before it is repaired.
    pub(crate) async fn mark_corrupt<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let header = self.header.get();
        if self.poisoned.replace(true) || !header.is_version_3() {
            return Ok(());
        }
        let features = header.raw().incompatible_features | feature::CORRUPT;
        let place = HostOffset(field::INCOMPATIBLE_FEATURES);
        files.image.write(place, &features.to_be_bytes()).await.map_err(Error::Storage)?;
        files.flush().await.map_err(Error::Storage)
    }

    /// Removes the name of the backing file, which is then no one's, from the header: its place and its length are in one
    /// sector.
    pub(crate) async fn forget_backing<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.watch(files.image.write(HostOffset(field::BACKING_FILE_OFFSET), &[0; 12])).await?;
        self.barrier(files).await?;
        self.header.set(self.header.get().without_backing());
        Ok(())
    }

    /// Sets the autoclear features, as a program has to do that doesn't know them all before it writes.
    pub(crate) async fn set_autoclear<S: StorageMut>(
        &self,
        files: &Files<S>,
        features: u64,
    ) -> Result<(), Error<S::Error>> {
        let header = self.header.get();
        if !header.is_version_3() || header.raw().autoclear_features == features {
            return Ok(());
        }
        let place = HostOffset(field::AUTOCLEAR_FEATURES);
        self.watch(files.image.write(place, &features.to_be_bytes())).await?;
        self.barrier(files).await
    }
}
