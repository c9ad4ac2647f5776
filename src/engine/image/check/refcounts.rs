//! The refcounts stored in a file.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::subject::Subject;
use crate::error::Error;
use crate::format::refcount::{RefcountWidth, TABLE_ENTRY_SIZE, TABLE_OFFSET_MASK};
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// How many bytes of the refcount table are read at once.
const READ_AHEAD: usize = 64 << 10;

/// The refcount table, at most 8 MiB, and one refcount block at a time.
pub(in crate::image) struct StoredRefcounts {
    width: RefcountWidth,
    block_bits: u32,
    entries: Vec<u64>,
    /// The shift of each refcount within a word, in the order of the clusters.
    shifts: Vec<u32>,
    block: Vec<u8>,
    /// The index of the block in `block`.
    loaded: Option<usize>,
}

/// The location of a refcount block by its table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::image) enum BlockLocation {
    /// There is no block: all refcounts are 0.
    Absent,
    At(HostOffset),
    /// The offset is invalid.
    Unreadable(HostOffset),
}

impl StoredRefcounts {
    pub(in crate::image) async fn read<S: Storage>(subject: &Subject<'_, S>) -> Result<Self, Error<S::Error>> {
        let width = subject.width();
        let length = u64::from(subject.raw.refcount_table_clusters) << subject.geometry.cluster_bits();
        let mut entries = Vec::new();
        let mut bytes = Vec::new();
        while (entries.len() as u64) < length / TABLE_ENTRY_SIZE {
            let offset = HostOffset(subject.raw.refcount_table_offset).plus(entries.len() as u64 * TABLE_ENTRY_SIZE);
            let left = length - entries.len() as u64 * TABLE_ENTRY_SIZE;
            bytes.resize(READ_AHEAD.min(usize::try_from(left).unwrap_or(READ_AHEAD)), 0);
            subject.read_zero_padded(offset, &mut bytes).await?;
            entries.extend(bytes.as_chunks::<8>().0.iter().map(|entry| u64::from_be_bytes(*entry)));
        }
        let per_word = u64::from(64 / width.bits());
        let shifts = (0..per_word).map(|index| width.position(index).shift).collect();
        let block_bits = width.block_bits(subject.geometry.cluster_bits());
        Ok(Self { width, block_bits, entries, shifts, block: subject.cluster_buffer(), loaded: None })
    }

    pub(in crate::image) fn width(&self) -> RefcountWidth {
        self.width
    }

    /// Returns the entries of the table with their indices and host offsets.
    pub(in crate::image) fn entries<S: Storage>(
        &self,
        subject: &Subject<'_, S>,
    ) -> impl Iterator<Item = (usize, HostOffset, u64)> {
        let table = HostOffset(subject.raw.refcount_table_offset);
        let offset = move |index: usize| table.plus(index as u64 * TABLE_ENTRY_SIZE);
        self.entries.iter().enumerate().map(move |(index, entry)| (index, offset(index), *entry))
    }

    /// The clusters that an entry's block covers.
    pub(in crate::image) fn clusters_of(&self, index: usize) -> Range<u64> {
        let index = index as u64;
        index << self.block_bits..(index + 1) << self.block_bits
    }

    pub(in crate::image) fn index_of(&self, cluster: u64) -> usize {
        usize::try_from(cluster >> self.block_bits).unwrap_or(usize::MAX)
    }

    pub(in crate::image) fn block_location<S: Storage>(&self, subject: &Subject<'_, S>, index: usize) -> BlockLocation {
        match self.entries.get(index).map_or(0, |entry| entry & TABLE_OFFSET_MASK) {
            0 => BlockLocation::Absent,
            block if subject.geometry.is_cluster_aligned(block) && i64::try_from(block).is_ok() => {
                BlockLocation::At(HostOffset(block))
            }
            block => BlockLocation::Unreadable(HostOffset(block)),
        }
    }

    /// Returns the first cluster at or after `from` whose refcount may be nonzero.
    pub(in crate::image) fn next_counted(&self, from: u64) -> Option<u64> {
        let first = self.index_of(from);
        let found = self.entries.iter().skip(first).position(|entry| entry & TABLE_OFFSET_MASK != 0)?;
        Some(from.max(self.clusters_of(first + found).start))
    }

    /// Reads the block of entry `index`.
    pub(in crate::image) async fn load<S: Storage>(
        &mut self,
        subject: &Subject<'_, S>,
        index: usize,
        offset: HostOffset,
    ) -> Result<(), Error<S::Error>> {
        if self.loaded != Some(index) {
            self.loaded = None;
            subject.read_zero_padded(offset, &mut self.block).await?;
            self.loaded = Some(index);
        }
        Ok(())
    }

    /// The number of table entries.
    pub(in crate::image) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sets refcounts of the loaded block. Returns the bytes to write and their host offset.
    pub(in crate::image) fn set<S: Storage>(
        &mut self,
        subject: &Subject<'_, S>,
        index: usize,
        counts: &[(u64, u64)],
    ) -> Option<(HostOffset, Vec<u8>)> {
        let BlockLocation::At(block) = self.block_location(subject, index) else { return None };
        let first = self.clusters_of(index).start;
        let offset = |cluster: u64| self.width.position(cluster - first);
        let start = usize::try_from(offset(counts.first()?.0).word_byte).ok()?;
        let end = usize::try_from(offset(counts.last()?.0).word_byte).ok()? + 8;
        for (cluster, count) in counts {
            let at = offset(*cluster);
            let slot = self.block.get_mut(usize::try_from(at.word_byte).ok()?..)?.first_chunk_mut::<8>()?;
            *slot = self.width.set(u64::from_be_bytes(*slot), at, *count).to_be_bytes();
        }
        Some((block.plus(start as u64), self.block.get(start..end)?.to_vec()))
    }

    /// Returns the refcounts of `clusters`, which are in the loaded block.
    pub(in crate::image) fn of_loaded_block(&self, clusters: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
        let per_word = self.shifts.len() as u64;
        let first = clusters.start & ((1 << self.block_bits) - 1);
        let words = self.block.as_chunks::<8>().0.iter().skip(usize::try_from(first / per_word).unwrap_or(usize::MAX));
        let counts = words.flat_map(move |word| {
            let word = u64::from_be_bytes(*word);
            self.shifts.iter().map(move |shift| word >> shift & self.width.max())
        });
        clusters.zip(counts.skip(usize::try_from(first % per_word).unwrap_or(0)))
    }

    /// Returns the refcount of a cluster, or `None` if it cannot be read.
    pub(in crate::image) async fn count<S: Storage>(
        &mut self,
        subject: &Subject<'_, S>,
        cluster: u64,
    ) -> Result<Option<u64>, Error<S::Error>> {
        let index = self.index_of(cluster);
        match self.block_location(subject, index) {
            BlockLocation::Absent => Ok(Some(0)),
            BlockLocation::Unreadable(_) => Ok(None),
            BlockLocation::At(offset) => {
                self.load(subject, index, offset).await?;
                let at = self.width.position(cluster - self.clusters_of(index).start);
                let start = usize::try_from(at.word_byte).unwrap_or(usize::MAX);
                let word = self.block.get(start..start.saturating_add(8)).and_then(|word| word.try_into().ok());
                Ok(Some(word.map_or(0, |word| self.width.get(u64::from_be_bytes(word), at))))
            }
        }
    }
}

/// The clusters of a window whose refcount is exactly 1.
pub(in crate::image) struct SingleRefcounts {
    window: Range<u64>,
    bits: Vec<u64>,
}

impl SingleRefcounts {
    pub(in crate::image) async fn read<S: Storage>(
        subject: &Subject<'_, S>,
        counts: &mut StoredRefcounts,
        window: Range<u64>,
    ) -> Result<Self, Error<S::Error>> {
        let length = usize::try_from(window.end - window.start).unwrap_or(0);
        let mut bits = vec![0_u64; length.div_ceil(64)];
        for index in counts.index_of(window.start)..=counts.index_of(window.end - 1) {
            let BlockLocation::At(offset) = counts.block_location(subject, index) else { continue };
            counts.load(subject, index, offset).await?;
            let clusters = counts.clusters_of(index);
            let clusters = clusters.start.max(window.start)..clusters.end.min(window.end);
            for (cluster, _) in counts.of_loaded_block(clusters).filter(|(_, count)| *count == 1) {
                let index = cluster - window.start;
                bits[usize::try_from(index / 64).unwrap_or(0)] |= 1 << (index % 64);
            }
        }
        Ok(Self { window, bits })
    }

    /// Returns `None` for a cluster outside the window.
    pub(in crate::image) fn is_single(&self, cluster: u64) -> Option<bool> {
        let index = cluster.checked_sub(self.window.start).filter(|_| cluster < self.window.end)?;
        let word = self.bits.get(usize::try_from(index / 64).ok()?)?;
        Some(word >> (index % 64) & 1 != 0)
    }
}
