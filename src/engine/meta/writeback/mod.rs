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
//! - The refcount table may also move to a larger place: then it is written whole, with the blocks that count it, and what
//!   is written behind their barrier is the header.
//! - Where lazy refcounts are allowed, nothing is different: the blocks go out before a barrier that the data need
//!   anyway, so to be late with them would save a write and no barrier. So the dirty bit is never set; that an image has
//!   it says that another program was late, and its counts are rebuilt when it is opened.
//! - A cluster that was unlinked, or allocated in vain, is counted down after the flush that made that durable, and
//!   when no request is left that may still use it: only then can it be taken again.

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

/// What of a file's metadata is not written yet.
pub(crate) struct Writeback {
    /// Held by whoever changes metadata; never while guest data are read or written.
    pub(crate) lock: Lock,
    pub(crate) refcounts: Refcounts,
    pub(crate) requests: Requests,
    /// Held closed by whoever changes the tables as a whole.
    pub(crate) gate: Gate,
    /// Guest clusters whose entries are about to change.
    pub(crate) cluster_locks: ClusterLocks,
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
    /// A barrier failed, or the image is damaged: nothing may be written any more.
    poisoned: Cell<bool>,
    header: Rc<CurrentHeader>,
    /// A write of the header was dropped: the file may have another one than `header` says.
    header_in_doubt: Cell<bool>,
    /// Where the file has the flags of bitmaps that are not marked as in use, and what they are.
    unmarked_bitmaps: RefCell<Vec<(u64, u32)>>,
    /// The file says that its bitmaps are in use.
    marked_bitmaps: Cell<bool>,
    /// The bitmaps follow the changes of the disk, and are stored.
    keeps_bitmaps: Cell<bool>,
    /// Where the last compressed cluster ends, within a cluster that has room for more.
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
            compressed_end: Cell::new(None),
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

    /// Carries out a write of metadata, unless nothing may be written any more.
    ///
    /// One that fails leaves what a dropped one leaves: what was to be written is still dirty, or not linked, so it can be
    /// tried again, for example when there is room.
    pub(crate) async fn write<E>(&self, write: impl Future<Output = Result<(), E>>) -> Result<(), Error<E>> {
        self.check_writable()?;
        write.await.map_err(Error::Storage)
    }

    /// Carries out a barrier. After one that failed, nobody knows what of the writes before it is durable, nor whether
    /// another one would tell: nothing may be written any more.
    pub(crate) async fn sync<E>(&self, barrier: impl Future<Output = Result<(), E>>) -> Result<(), Error<E>> {
        self.check_writable()?;
        barrier.await.map_err(|error| {
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
    pub(crate) fn register_table(&self, start: HostOffset) {
        let cluster = self.cluster_of(start);
        self.refcounts.metadata_ranges.add(cluster..cluster + 1);
    }

    /// Takes note that there is no table at `start` any more.
    pub(crate) fn unregister_table(&self, start: HostOffset) {
        let cluster = self.cluster_of(start);
        self.refcounts.metadata_ranges.remove(cluster..cluster + 1);
    }

    /// Sets the L1 entry at host offset `offset`.
    pub(crate) fn set_l1_entry(&self, file: FileId, offset: HostOffset, entry: L1Entry) -> Attempt<()> {
        self.set_words(file, offset, &[entry.0])
    }

    /// Sets the L2 entry at host offset `offset`, whole: both words of an extended one are in the same sector.
    pub(crate) fn set_l2_entry(&self, file: FileId, offset: HostOffset, entry: L2Entry) -> Attempt<()> {
        let words = [entry.word, entry.bitmap];
        self.set_words(file, offset, if self.geometry.extended_l2() { &words } else { &words[..1] })
    }

    /// Sets the words of a table from host offset `offset` on, which are in one slice.
    fn set_words(&self, file: FileId, offset: HostOffset, words: &[u64]) -> Attempt<()> {
        let (slice, at) = self.cache.try_slice_at(file, self.slice_size, offset)?;
        let start = HostOffset(offset.0 - at as u64);
        for (word, index) in words.iter().zip(0..) {
            self.dirty_of(offset).set_word(start, &slice, at + index * size_of::<u64>(), *word);
        }
        Ok(())
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

    /// At most 2 MiB.
    pub(super) fn cluster_size(&self) -> usize {
        usize::try_from(self.geometry.cluster_size()).unwrap_or(usize::MAX)
    }

    /// Where the cluster begins.
    pub(super) fn offset_of(&self, cluster: u64) -> HostOffset {
        HostOffset(cluster << self.geometry.cluster_bits())
    }

    fn cluster_of(&self, offset: HostOffset) -> u64 {
        offset.0 >> self.geometry.cluster_bits()
    }
}
