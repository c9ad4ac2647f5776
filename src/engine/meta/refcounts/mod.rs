//! Refcounts, and the allocation of free clusters.
//!
//! This module changes refcounts in memory only. [`Writeback`](super::writeback::Writeback) writes them back. The caller
//! holds the metadata lock.

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

/// The refcounts of all clusters of a file.
pub(crate) struct Refcounts {
    pub(super) geometry: Geometry,
    pub(super) width: RefcountWidth,
    pub(super) slice_size: SliceSize,
    pub(super) cache: Rc<TableCache>,
    /// The host offset of each refcount block; 0 where there is none. The entries fill whole clusters.
    pub(super) table: RefCell<Vec<u64>>,
    /// The number of table entries in the file. If the table in memory is longer, it has to be moved.
    pub(super) stored_entries: Cell<usize>,
    /// The indexes of the table entries that differ from the file.
    pub(super) dirty_entries: RefCell<BTreeSet<usize>>,
    /// Changed refcount blocks.
    pub(super) dirty: Dirty,
    /// The clusters that hold metadata. Nothing else may be written there, whatever the refcounts are.
    pub(crate) metadata_ranges: MetadataRanges,
    /// No cluster before this one is free.
    pub(super) first_candidate: Cell<u64>,
    /// No cluster before this one may be allocated, even if it is free: the header in the file may point to tables there.
    pub(super) floor: Cell<u64>,
}

impl Refcounts {
    /// Reads the refcount table, of at most 8 MiB: the check of the header ensures that.
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
                // If many entries pointed to the same block, a search for a free cluster would never end, however small
                // the file is.
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

    /// Returns the refcount of `cluster`.
    pub(in crate::meta) async fn get<S: Storage>(
        &self,
        file: &HostFile<S>,
        cluster: u64,
    ) -> Result<u64, Error<S::Error>> {
        Ok(self.entry(file, cluster).await?.map_or(0, |entry| entry.get()))
    }

    /// Returns whether a refcount block is at or after cluster `from`, or counts only clusters at or after `end`.
    pub(crate) fn has_block_from(&self, from: u64, end: u64) -> bool {
        let table = self.table.borrow();
        let blocks = table.iter().zip(0..).filter(|(block, _)| **block != 0);
        blocks
            .into_iter()
            .any(|(block, index)| block >> self.geometry.cluster_bits() >= from || self.first_of_block(index) >= end)
    }

    /// Returns the largest refcount that the width allows.
    pub(crate) fn max(&self) -> u64 {
        self.width.max()
    }

    /// Loads the refcount of `cluster`, to read and set it without waiting. Returns `None` if it has no block.
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
        Ok(Some(RefcountEntry { refcounts: self, slice, start, word_at, position: at.position }))
    }

    /// Removes one reference from `cluster`, and returns whether it is free then. A refcount of 0 stays 0.
    pub(crate) async fn decrement<S: Storage>(
        &self,
        file: &HostFile<S>,
        cluster: u64,
    ) -> Result<bool, Error<S::Error>> {
        let Some(entry) = self.entry(file, cluster).await? else {
            return Ok(true);
        };
        let refcount = entry.get();
        entry.set(refcount.saturating_sub(1));
        if refcount == 1 {
            self.first_candidate.set(self.first_candidate.get().min(cluster));
        }
        Ok(refcount <= 1)
    }

    /// Returns the number of refcounts in `bytes` bytes.
    pub(super) fn refcounts_in(&self, bytes: usize) -> u64 {
        bytes as u64 * 8 / u64::from(self.width.bits())
    }

    /// Makes `cluster`, which has no refcount block, the block for its own refcount, and sets that refcount to 1.
    ///
    /// The table must have an entry for it.
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
        let position = self.position_of(cluster);
        for at in (0..self.geometry.cluster_size()).step_by(self.slice_size.bytes()) {
            let slice = self.cache.insert_zeroed(file.id(), self.slice_size, start.plus(at));
            self.dirty.add_whole(start.plus(at), &slice);
            let (word_slice, word_at) = self.slice_size.split(start.plus(position.word_byte));
            if word_slice == start.plus(at) {
                let word = self.width.set(slice.word(word_at), position, 1);
                self.dirty.set_word(word_slice, &slice, word_at, word);
            }
        }
        Ok(())
    }

    /// Enlarges the table in memory so that it has an entry for the block of `cluster`.
    ///
    /// A table that is longer than in the file has to be moved, and the clusters of the moved table need refcounts as well.
    /// So the table always has room for their blocks, too.
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

    /// Returns the most blocks that the refcounts of a table of `length` entries, and of these blocks, can take.
    fn blocks_to_move(&self, length: usize) -> usize {
        let clusters = (length as u64 * TABLE_ENTRY_SIZE).div_ceil(self.geometry.cluster_size());
        // The blocks take a fraction of the clusters that they cover. Two more for the partial blocks at both ends.
        2 * usize::try_from(clusters >> self.block_bits()).unwrap_or(usize::MAX / 4) + 4
    }

    /// Returns whether the table is longer than in the file, so that it has to move.
    pub(super) fn must_move_table(&self) -> bool {
        self.table.borrow().len() > self.stored_entries.get()
    }

    /// Returns the changed table entries: the index and the value of each.
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

    /// Returns where the refcount of `cluster` is; `None` if it has no block.
    fn find(&self, cluster: u64) -> Option<RefcountLocation> {
        let position = self.position_of(cluster);
        Some(RefcountLocation { word: self.block_of(cluster)?.plus(position.word_byte), position })
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

    /// Returns the first cluster that the block of table entry `index` counts.
    pub(super) fn first_of_block(&self, index: u64) -> u64 {
        index << self.block_bits()
    }

    fn block_bits(&self) -> u32 {
        self.width.block_bits(self.geometry.cluster_bits())
    }

    pub(super) fn offset_of(&self, cluster: u64) -> HostOffset {
        HostOffset(cluster << self.geometry.cluster_bits())
    }
}

/// Returns the new length of a refcount table of `length` entries that must have `needed` entries, which are more.
///
/// The table grows by at least a half, to whole clusters, and to at most QEMU's limit. Returns `None` if that is not enough.
pub(super) fn larger_table(length: usize, needed: usize, geometry: Geometry) -> Option<usize> {
    // At most 2^18.
    let per_cluster = usize::try_from(geometry.cluster_size() / TABLE_ENTRY_SIZE).unwrap_or(usize::MAX);
    let larger = (length + length / 2).max(needed).next_multiple_of(per_cluster).min(MAX_TABLE_ENTRIES);
    (needed <= larger).then_some(larger)
}

/// The refcount of a cluster. It stays cached while this exists.
pub(crate) struct RefcountEntry<'a> {
    refcounts: &'a Refcounts,
    slice: SliceRef,
    /// The host offset of the slice.
    start: HostOffset,
    word_at: usize,
    position: RefcountPosition,
}

impl RefcountEntry<'_> {
    pub(crate) fn get(&self) -> u64 {
        self.refcounts.width.get(self.slice.word(self.word_at), self.position)
    }

    pub(crate) fn set(&self, refcount: u64) {
        let word = self.refcounts.width.set(self.slice.word(self.word_at), self.position, refcount);
        self.refcounts.dirty.set_word(self.start, &self.slice, self.word_at, word);
    }
}

/// The location of a refcount: the host offset of its word, and its bits in the word.
struct RefcountLocation {
    word: HostOffset,
    position: RefcountPosition,
}
