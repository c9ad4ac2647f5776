//! Who counts: reference counts, and which clusters are free.
//!
//! Everything here changes counts in memory only; [`Writeback`](super::writeback::Writeback) brings them to the file.
//! The caller holds the metadata lock.

mod allocate;

use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::dirty_slices::Dirty;
use super::host_file::HostFile;
use super::metadata_ranges::MetadataRanges;
use super::table_cache::{SliceRef, SliceSize, TableCache};
use crate::error::{Corrupt, Error, Misuse};
use crate::format::geometry::Geometry;
use crate::format::header::Header;
use crate::format::refcount::{RefcountPosition, RefcountWidth, TABLE_ENTRY_SIZE, TABLE_OFFSET_MASK};
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// QEMU's limit on the refcount table.
const MAX_TABLE_ENTRIES: usize = (8 << 20) / 8;
/// Host offsets have 56 bits.
const MAX_HOST_OFFSET: u64 = 1 << 56;

/// The counts of all clusters of a file.
pub(crate) struct Refcounts {
    pub(super) geometry: Geometry,
    pub(super) width: RefcountWidth,
    pub(super) slice_size: SliceSize,
    pub(super) cache: Rc<TableCache>,
    /// Where each refcount block is; 0 where there is none. A whole number of clusters' worth of entries.
    pub(super) table: RefCell<Vec<u64>>,
    /// How many entries the table has in the file. In memory it may be longer: then it has to be moved.
    pub(super) stored_entries: Cell<usize>,
    /// Which entries of the table differ from the file.
    pub(super) dirty_entries: RefCell<BTreeSet<usize>>,
    /// Changed refcount blocks.
    pub(super) dirty: Dirty,
    /// Where nothing but metadata may be, whatever the counts say.
    pub(crate) metadata_ranges: MetadataRanges,
    /// No cluster before this one is free.
    pub(super) first_candidate: Cell<u64>,
    /// No cluster before this one is allocated, free or not: the file may have a header whose tables are there.
    pub(super) floor: Cell<u64>,
}

impl Refcounts {
    /// Reads the refcount table: at most 8 MiB, as the header was checked.
    pub(crate) async fn open<S: Storage>(
        file: &HostFile<S>,
        header: &Header,
        cache: Rc<TableCache>,
    ) -> Result<Self, Error<S::Error>> {
        let (geometry, raw) = (header.geometry(), header.raw());
        let bytes = u64::from(raw.refcount_table_clusters) * geometry.cluster_size();
        let mut stored = vec![0; usize::try_from(bytes).unwrap_or(0)];
        file.read(HostOffset(raw.refcount_table_offset), &mut stored).await.map_err(Error::Storage)?;
        let mut table = Vec::with_capacity(stored.len() / 8);
        let metadata_ranges = MetadataRanges::default();
        let (entries, _) = stored.as_chunks::<8>();
        for (index, entry) in entries.iter().enumerate() {
            let block = u64::from_be_bytes(*entry) & TABLE_OFFSET_MASK;
            if !geometry.is_cluster_aligned(block) || block >= MAX_HOST_OFFSET {
                let entry_offset = raw.refcount_table_offset + index as u64 * TABLE_ENTRY_SIZE;
                return Err(Corrupt::RefcountBlockUnaligned { entry_offset, block }.into());
            }
            if block != 0 {
                // One block for many clusters would never end, however small the file is.
                let cluster = block >> geometry.cluster_bits();
                metadata_ranges.claim(cluster..cluster + 1, geometry.cluster_bits())?;
            }
            table.push(block);
        }
        Ok(Self {
            geometry,
            width: RefcountWidth::new(raw.refcount_order),
            slice_size: SliceSize::of(geometry),
            cache,
            stored_entries: Cell::new(table.len()),
            table: RefCell::new(table),
            dirty_entries: RefCell::default(),
            dirty: Dirty::default(),
            metadata_ranges,
            first_candidate: Cell::new(0),
            floor: Cell::new(0),
        })
    }

    /// How often `cluster` is referred to.
    pub(crate) async fn count<S: Storage>(&self, file: &HostFile<S>, cluster: u64) -> Result<u64, Error<S::Error>> {
        Ok(self.entry(file, cluster).await?.map_or(0, |entry| entry.count()))
    }

    /// The largest count.
    pub(crate) fn max(&self) -> u64 {
        self.width.max()
    }

    /// The count of `cluster`, to be read and set without waiting; `None` where it has no block.
    pub(crate) async fn entry<S: Storage>(
        &self,
        file: &HostFile<S>,
        cluster: u64,
    ) -> Result<Option<RefcountEntry<'_>>, Error<S::Error>> {
        let Some(at) = self.find(cluster) else {
            return Ok(None);
        };
        let (slice, word_at) = self.slice_at(file, at.word).await?;
        let (start, _) = self.slice_size.split(at.word);
        Ok(Some(RefcountEntry { refcounts: self, slice, start, word_at, place: at.place }))
    }

    /// Takes one reference from `cluster`; whether it is free then. A count that is 0 already stays.
    pub(crate) async fn decrement<S: Storage>(
        &self,
        file: &HostFile<S>,
        cluster: u64,
    ) -> Result<bool, Error<S::Error>> {
        let Some(entry) = self.entry(file, cluster).await? else {
            return Ok(true);
        };
        let count = entry.count();
        entry.set(count.saturating_sub(1));
        if count == 1 {
            self.first_candidate.set(self.first_candidate.get().min(cluster));
        }
        Ok(count <= 1)
    }

    /// How many counts there are in so many bytes.
    pub(super) fn counts_in(&self, bytes: usize) -> u64 {
        bytes as u64 * 8 / u64::from(self.width.bits())
    }

    /// Makes `cluster`, which no block counts, the block that counts it, itself with one reference.
    ///
    /// The table must have room for it.
    fn add_block<E>(&self, file: &HostFile<impl Storage>, cluster: u64) -> Result<(), Error<E>> {
        let index = self.block_index(cluster);
        let start = self.offset_of(cluster);
        self.check_allocatable::<Error<E>>(cluster..cluster + 1)?;
        self.metadata_ranges.add(cluster..cluster + 1);
        {
            let mut table = self.table.borrow_mut();
            let Some(entry) = table.get_mut(index) else {
                return Err(Misuse::ImageFull.into());
            };
            *entry = start.0;
        }
        self.dirty_entries.borrow_mut().insert(index);
        let place = self.position_of(cluster);
        for at in (0..self.geometry.cluster_size()).step_by(self.slice_size.bytes()) {
            let slice = self.cache.insert_zeroed(file.id(), self.slice_size, start.plus(at));
            self.dirty.add_whole(start.plus(at), &slice);
            let (word_slice, word_at) = self.slice_size.split(start.plus(place.word_byte));
            if word_slice == start.plus(at) {
                let word = self.width.set(slice.word(word_at), place, 1);
                self.dirty.set_word(word_slice, &slice, word_at, word);
            }
        }
        Ok(())
    }

    /// Makes the table, in memory, long enough for the block of `cluster`.
    ///
    /// A table that is longer than in the file has to be moved, and what it takes to move it has to be counted as well:
    /// so there is always room for those blocks behind this one.
    fn make_room_in_table(&self, cluster: u64) -> Result<(), Misuse> {
        let index = self.block_index(cluster);
        if index < self.stored_entries.get() {
            return Ok(());
        }
        let mut table = self.table.borrow_mut();
        let length = larger_table(table.len(), index + 1, self.geometry).ok_or(Misuse::ImageFull)?;
        let needed = index + 1 + self.blocks_to_move(length);
        if needed > table.len() {
            let length = larger_table(table.len(), needed, self.geometry).ok_or(Misuse::ImageFull)?;
            table.resize(length, 0);
        }
        Ok(())
    }

    /// How many blocks it takes at most to count the clusters of a table of `length` entries, and their own.
    fn blocks_to_move(&self, length: usize) -> usize {
        let clusters = (length as u64 * TABLE_ENTRY_SIZE).div_ceil(self.geometry.cluster_size());
        // The blocks take a fraction of the clusters that they count. Two more for the parts at either end.
        2 * usize::try_from(clusters >> self.block_bits()).unwrap_or(usize::MAX / 4) + 4
    }

    /// Whether the table is longer than the place that it has in the file.
    pub(super) fn must_move_table(&self) -> bool {
        self.table.borrow().len() > self.stored_entries.get()
    }

    /// The changed entries: which, and what they are now.
    pub(super) fn dirty_table_entries(&self) -> Vec<(u64, u64)> {
        let table = self.table.borrow();
        self.dirty_entries.borrow().iter().map(|index| (*index as u64, table[*index])).collect()
    }

    pub(super) fn table_is_written(&self) {
        self.dirty_entries.borrow_mut().clear();
    }

    pub(super) async fn slice_at<S: Storage>(
        &self,
        file: &HostFile<S>,
        offset: HostOffset,
    ) -> Result<(SliceRef, usize), Error<S::Error>> {
        self.cache.slice_at(file, self.slice_size, offset).await.map_err(Error::Storage)
    }

    /// Where the count of `cluster` is; `None` where it has no block.
    fn find(&self, cluster: u64) -> Option<RefcountLocation> {
        let place = self.position_of(cluster);
        Some(RefcountLocation { word: self.block_of(cluster)?.plus(place.word_byte), place })
    }

    fn block_of(&self, cluster: u64) -> Option<HostOffset> {
        let block = *self.table.borrow().get(self.block_index(cluster))?;
        (block != 0).then_some(HostOffset(block))
    }

    pub(super) fn block_index(&self, cluster: u64) -> usize {
        usize::try_from(cluster >> self.block_bits()).unwrap_or(usize::MAX)
    }

    pub(super) fn position_of(&self, cluster: u64) -> RefcountPosition {
        self.width.position(cluster & ((1 << self.block_bits()) - 1))
    }

    pub(super) fn index_in_word(&self, cluster: u64) -> u64 {
        cluster % (64 / u64::from(self.width.bits()))
    }

    pub(super) fn end_of_block(&self, cluster: u64) -> u64 {
        ((cluster >> self.block_bits()) + 1) << self.block_bits()
    }

    fn block_bits(&self) -> u32 {
        self.width.block_bits(self.geometry.cluster_bits())
    }

    pub(super) fn offset_of(&self, cluster: u64) -> HostOffset {
        HostOffset(cluster << self.geometry.cluster_bits())
    }
}

/// The length of a refcount table that has `length` entries and must have `needed`, which are more: at least half as many
/// again, of whole clusters, and at most what the format allows; `None` where that is not enough.
pub(super) fn larger_table(length: usize, needed: usize, geometry: Geometry) -> Option<usize> {
    // At most 2^18.
    let per_cluster = usize::try_from(geometry.cluster_size() / TABLE_ENTRY_SIZE).unwrap_or(usize::MAX);
    let larger = (length + length / 2).max(needed).next_multiple_of(per_cluster).min(MAX_TABLE_ENTRIES);
    (needed <= larger).then_some(larger)
}

/// The count of a cluster, in memory as long as this is held.
pub(crate) struct RefcountEntry<'a> {
    refcounts: &'a Refcounts,
    slice: SliceRef,
    /// Where the slice begins in the file.
    start: HostOffset,
    word_at: usize,
    place: RefcountPosition,
}

impl RefcountEntry<'_> {
    pub(crate) fn count(&self) -> u64 {
        self.refcounts.width.get(self.slice.word(self.word_at), self.place)
    }

    pub(crate) fn set(&self, count: u64) {
        let word = self.refcounts.width.set(self.slice.word(self.word_at), self.place, count);
        self.refcounts.dirty.set_word(self.start, &self.slice, self.word_at, word);
    }
}

/// Where a count is: its word in the file, and its bits in the word.
struct RefcountLocation {
    word: HostOffset,
    place: RefcountPosition,
}
