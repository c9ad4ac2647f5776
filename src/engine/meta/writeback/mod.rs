//! The only code that writes metadata. It defines the order of writes.
//!
//! At every moment this must hold in the file, whichever of the last writes were lost: *no table entry points to a cluster
//! whose reference is not counted, or whose data is not written.* Then a crash leaves leaked clusters at worst.
//! Therefore the writes are in this order, with a barrier at each `|`:
//!
//! ```text
//! data, refcount blocks, tables that nothing points to yet | refcount table | L2 and L1 entries | (flush ends) | free
//! ```
//!
//! - The requests write their data themselves, before they link it. So data is written before the first barrier.
//! - Refcounts in the file are never lower than the number of references in its tables, because an unlinked cluster keeps its
//!   refcount until the unlink is durable. So refcount blocks can be written at any time.
//! - The refcount table changes only for a new block, which is rare. So most flushes have two barriers, and a flush after
//!   writes in place has one.
//! - The refcount table may also move to other clusters. Then the complete table is written with the blocks of its own
//!   refcounts, and the write after the barrier is that of the header.
//! - Lazy refcounts change nothing: the refcount blocks are written before a barrier that the data needs anyway, so to
//!   postpone them would save a write, but no barrier. So the dirty bit is never set. If an image has it, another program
//!   postponed refcounts, and they are rebuilt when the image is opened.
//! - The refcount of a cluster that was unlinked, or allocated in vain, is decremented after the flush that made the unlink
//!   durable, and when no active request may still use the cluster. Only then can the cluster be allocated again.

mod allocate;
mod header;
mod order;
mod refcount_table;

use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::active_requests::Requests;
use super::attempt::Attempt;
use super::cluster_locks::ClusterLocks;
use super::current_header::CurrentHeader;
use super::deferred_free::FreedClusters;
use super::dirty_slices::Dirty;
use super::exclusive::Gate;
use super::host_file::{FileId, HostFile};
use super::lock::Lock;
use super::refcounts::Refcounts;
use super::table_cache::{SliceRef, SliceSize, TableCache};
use crate::error::{Error, Misuse};
use crate::format::geometry::Geometry;
use crate::format::l1::L1Entry;
use crate::format::l2::L2Entry;
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// The write-back cache of a file's metadata: the changes that are not in the file yet.
pub(crate) struct Writeback {
    /// The metadata lock. A task holds it to change metadata, and never while guest data is read or written.
    pub(crate) lock: Lock,
    pub(crate) refcounts: Refcounts,
    pub(crate) requests: Requests,
    /// Shared access for guest requests, exclusive access for operations that restructure the tables.
    pub(crate) gate: Gate,
    /// Locks on the guest clusters whose entries are about to change.
    pub(crate) cluster_locks: ClusterLocks,
    geometry: Geometry,
    slice_size: SliceSize,
    cache: Rc<TableCache>,
    /// Every change becomes durable before its request completes.
    pub(crate) write_through: bool,
    /// The most dirty slices before a write-back is due.
    max_dirty: usize,
    /// Slices of tables that nothing in the file points to.
    new_tables: Dirty,
    /// The host offsets of these tables.
    unlinked_tables: RefCell<BTreeSet<u64>>,
    /// Slices of tables that the file points to.
    links: Dirty,
    freed: FreedClusters,
    /// A barrier failed, or the image is corrupt: nothing may be written any more.
    poisoned: Cell<bool>,
    header: Rc<CurrentHeader>,
    /// A write of the header is under way or was dropped: the file may differ from `header`.
    header_in_doubt: Cell<bool>,
    /// The host offsets and the values of the flags of bitmaps that are not marked as in use.
    unmarked_bitmaps: RefCell<Vec<(u64, u32)>>,
    /// The bitmaps are marked as in use in the file.
    marked_bitmaps: Cell<bool>,
    /// The bitmaps are maintained: they record the changes of the disk and are stored.
    keeps_bitmaps: Cell<bool>,
    /// How often tables were moved, or copied with their entries.
    table_changes: Cell<u64>,
    /// The end of the last compressed cluster, if its host cluster has room for more.
    compressed_end: Cell<Option<HostOffset>>,
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
        refcounts.metadata_ranges.claim(0..1, geometry.cluster_bits())?;
        refcounts
            .metadata_ranges
            .claim(header.get().table_pointers().refcount_table_range(geometry), geometry.cluster_bits())?;
        Ok(Self {
            lock: Lock::default(),
            gate: Gate::default(),
            refcounts,
            requests: Requests::default(),
            cluster_locks: ClusterLocks::default(),
            geometry,
            slice_size,
            cache,
            write_through,
            max_dirty: cache_budget / 2 / slice_size.bytes(),
            new_tables: Dirty::default(),
            unlinked_tables: RefCell::default(),
            links: Dirty::default(),
            freed: FreedClusters::default(),
            unmarked_bitmaps: RefCell::default(),
            marked_bitmaps: Cell::default(),
            keeps_bitmaps: Cell::default(),
            poisoned: Cell::new(false),
            header,
            header_in_doubt: Cell::new(false),
            table_changes: Cell::new(0),
            compressed_end: Cell::new(None),
        })
    }

    /// Fails if nothing may be written any more.
    pub(crate) fn check_writable(&self) -> Result<(), Misuse> {
        if self.poisoned.get() { Err(Misuse::Poisoned) } else { Ok(()) }
    }

    /// Makes every later write fail.
    pub(crate) fn poison(&self) {
        self.poisoned.set(true);
    }

    /// Carries out a write of metadata, unless nothing may be written any more.
    ///
    /// A failed write leaves the same state as a dropped one: the slices are still dirty, or the clusters not linked. So the
    /// write can be repeated, for example when the storage has room again.
    pub(crate) async fn write<E>(&self, write: impl Future<Output = Result<(), E>>) -> Result<(), Error<E>> {
        self.check_writable()?;
        write.await.map_err(Error::Storage)
    }

    /// Carries out a barrier. After a failed barrier, nothing may be written any more.
    ///
    /// It is then unknown which earlier writes are durable, and another barrier might not report their loss.
    pub(crate) async fn sync<E>(&self, barrier: impl Future<Output = Result<(), E>>) -> Result<(), Error<E>> {
        self.check_writable()?;
        barrier.await.map_err(|error| {
            self.poisoned.set(true);
            Error::Storage(error)
        })
    }

    /// Creates a table of zeros at `start`, which the caller has allocated.
    pub(crate) fn add_table<S: Storage>(&self, file: &HostFile<S>, start: HostOffset) {
        for at in (0..self.geometry.cluster_size()).step_by(self.slice_size.bytes()) {
            let slice = self.cache.insert_zeroed(file.id(), self.slice_size, start.plus(at));
            self.new_tables.add_whole(start.plus(at), &slice);
        }
        self.unlinked_tables.borrow_mut().insert(start.0);
    }

    /// Returns a number that changes whenever a table is moved, or copied with its entries.
    ///
    /// While it stays the same, no cluster gets another reference, except one that was free.
    pub(crate) fn table_changes(&self) -> u64 {
        self.table_changes.get()
    }

    /// Records that a table was moved, or copied with its entries.
    pub(crate) fn count_table_change(&self) {
        self.table_changes.set(self.table_changes.get() + 1);
    }

    /// Registers the table at `start` as metadata, because an entry points to it.
    pub(crate) fn register_table(&self, start: HostOffset) {
        let cluster = self.cluster_of(start);
        self.refcounts.metadata_ranges.add(cluster..cluster + 1);
    }

    /// Removes the table at `start` from the metadata ranges.
    pub(crate) fn unregister_table(&self, start: HostOffset) {
        let cluster = self.cluster_of(start);
        self.refcounts.metadata_ranges.remove(cluster..cluster + 1);
    }

    /// Sets the L1 entry at host offset `offset`.
    pub(crate) fn set_l1_entry(&self, file: FileId, offset: HostOffset, entry: L1Entry) -> Attempt<()> {
        self.set_word(file, offset, entry.0)
    }

    /// Sets the L2 entry at host offset `offset`. Both words of an extended entry are in the same sector.
    pub(crate) fn set_l2_entry(&self, file: FileId, offset: HostOffset, entry: L2Entry) -> Attempt<()> {
        self.set_word(file, offset, entry.word)?;
        if self.geometry.extended_l2() { self.set_word(file, offset.plus(8), entry.bitmap) } else { Ok(()) }
    }

    /// Sets the word of a table at host offset `offset`.
    #[inline]
    fn set_word(&self, file: FileId, offset: HostOffset, word: u64) -> Attempt<()> {
        let (slice, at) = self.cache.try_slice_at(file, self.slice_size, offset)?;
        Dirty::set_word_in(|| self.dirty_of(offset), HostOffset(offset.0 - at as u64), &slice, at, word);
        Ok(())
    }

    /// Returns the set of dirty slices for a change of the table word at host offset `offset`.
    fn dirty_of(&self, offset: HostOffset) -> &Dirty {
        let table = offset.0 & !(self.geometry.cluster_size() - 1);
        if self.unlinked_tables.borrow().contains(&table) { &self.new_tables } else { &self.links }
    }

    /// Returns the word at host offset `offset` of an L1 or L2 table.
    pub(crate) async fn entry<S: Storage>(
        &self,
        file: &HostFile<S>,
        offset: HostOffset,
    ) -> Result<u64, Error<S::Error>> {
        let (slice, at) = self.slice_at(file, offset).await?;
        Ok(slice.word(at))
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

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Returns the cluster size as a usize: at most 2 MiB.
    pub(super) fn cluster_size(&self) -> usize {
        usize::try_from(self.geometry.cluster_size()).unwrap_or(usize::MAX)
    }

    /// Returns the host offset of the cluster.
    pub(super) fn offset_of(&self, cluster: u64) -> HostOffset {
        HostOffset(cluster << self.geometry.cluster_bits())
    }

    fn cluster_of(&self, offset: HostOffset) -> u64 {
        offset.0 >> self.geometry.cluster_bits()
    }
}
