//! A new refcount structure, computed from the references.
//!
//! It is written completely after the end of the file: the blocks, then the table. Only clusters in use have blocks, so
//! a sparse file gets a small structure. The clusters of the old structure are free in the new one.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::file_end::EndAllocator;
use crate::error::{Error, Misuse};
use crate::format::header::RawHeader;
use crate::format::refcount::{RefcountWidth, TABLE_ENTRY_SIZE};
use crate::format::units::HostOffset;
use crate::image::check::references::References;
use crate::image::check::sink::{Reference, Sink};
use crate::image::check::snapshots::SnapshotTables;
use crate::image::check::subject::Subject;
use crate::image::check::walk::walk;
use crate::storage::{Storage, StorageMut};

/// QEMU's limit on the refcount table: 8 MiB.
const MAX_TABLE_ENTRIES: u64 = (8 << 20) / TABLE_ENTRY_SIZE;

/// Counts the references of `subject`, except those to its refcount structure.
pub(super) struct Counter<'a, S> {
    subject: &'a Subject<'a, S>,
    snapshots: &'a SnapshotTables,
    references: References,
}

impl<E, S: Storage> Sink<E> for Counter<'_, S> {
    fn refer(&mut self, reference: Reference) {
        if let Some(clusters) = self.subject.area(reference.start, reference.length) {
            self.references.add(clusters);
        }
    }
}

impl<'a, S: Storage> Counter<'a, S> {
    pub(super) fn new(subject: &'a Subject<'a, S>, snapshots: &'a SnapshotTables) -> Self {
        Self { subject, snapshots, references: References::wide(0, 0) }
    }

    /// Counts the references of the window that begins at `start`.
    pub(super) async fn count(&mut self, start: u64) -> Result<&mut References, Error<S::Error>> {
        if self.references.window().contains(&start) && self.references.window().start == start {
            return Ok(&mut self.references);
        }
        let limit = self.subject.clusters() + 1;
        self.references = References::narrow(start, limit);
        walk(self.subject, self.snapshots, self).await?;
        if self.references.is_spilled() {
            self.references = References::wide(start, limit);
            walk(self.subject, self.snapshots, self).await?;
        }
        Ok(&mut self.references)
    }
}

/// Writes a refcount structure for `subject` after its end, and returns the header that points to it.
///
/// The refcounts have at least the width of `subject`. With `may_widen`, they are wide enough; otherwise they are
/// capped.
pub(in crate::image) async fn write_structure<S: StorageMut>(
    subject: &Subject<'_, S>,
    allocator: &EndAllocator,
    may_widen: bool,
) -> Result<RawHeader, Error<S::Error>> {
    let bare = subject.with_header(without_refcounts(&subject.raw));
    let snapshots = SnapshotTables::read(&bare).await?;
    let mut counter = Counter::new(&bare, &snapshots);
    let mut width = subject.width();
    let highest = demand(&mut counter, width).await?;
    if may_widen && highest.count > width.max() {
        width = RefcountWidth::that_holds(highest.count);
    }
    let used = demand(&mut counter, width).await?.blocks;
    let layout = Layout::new(subject, width, used, allocator)?;
    layout.write(subject, &mut counter).await?;
    let mut raw = subject.raw.clone();
    raw.refcount_table_offset = subject.offset_of(layout.table.start).0;
    raw.refcount_table_clusters = u32::try_from(layout.table.end - layout.table.start).unwrap_or(u32::MAX);
    raw.refcount_order = width.order();
    Ok(raw)
}

/// Returns a header without a refcount structure, so that the clusters of the old one are not in use.
pub(super) fn without_refcounts(raw: &RawHeader) -> RawHeader {
    RawHeader { refcount_table_clusters: 0, ..raw.clone() }
}

/// What the references of an image require.
pub(in crate::image) struct Demand {
    /// The highest number of references.
    pub(in crate::image) count: u64,
    /// The cluster with the highest number.
    pub(in crate::image) cluster: u64,
    /// The refcount blocks with a nonzero refcount.
    blocks: BTreeSet<u64>,
}

async fn demand<S: Storage>(counter: &mut Counter<'_, S>, width: RefcountWidth) -> Result<Demand, Error<S::Error>> {
    let block_bits = width.block_bits(counter.subject.geometry.cluster_bits());
    let mut demand = Demand { count: 0, cluster: 0, blocks: BTreeSet::new() };
    let mut next = Some(0);
    while let Some(start) = next {
        let references = counter.count(start).await?;
        for cluster in references.window() {
            let count = references.count(cluster);
            if count > 0 {
                demand.blocks.insert(cluster >> block_bits);
                if count > demand.count {
                    (demand.count, demand.cluster) = (count, cluster);
                }
            }
        }
        next = references.next();
    }
    Ok(demand)
}

/// Returns the highest number of references in `subject`, and its cluster.
pub(in crate::image) async fn highest_count<S: Storage>(subject: &Subject<'_, S>) -> Result<Demand, Error<S::Error>> {
    let bare = subject.with_header(without_refcounts(&subject.raw));
    let snapshots = SnapshotTables::read(&bare).await?;
    demand(&mut Counter::new(&bare, &snapshots), subject.width()).await
}

/// The positions of the parts of the structure, in clusters.
struct Layout {
    width: RefcountWidth,
    block_bits: u32,
    /// The blocks that exist, by their index in the table.
    used: BTreeSet<u64>,
    blocks: Range<u64>,
    table: Range<u64>,
}

impl Layout {
    fn new<S: Storage>(
        subject: &Subject<'_, S>,
        width: RefcountWidth,
        mut used: BTreeSet<u64>,
        allocator: &EndAllocator,
    ) -> Result<Self, Misuse> {
        let block_bits = width.block_bits(subject.geometry.cluster_bits());
        loop {
            let entries = used.last().map_or(0, |last| last + 1);
            if entries > MAX_TABLE_ENTRIES {
                return Err(Misuse::ImageFull);
            }
            let size = (entries * TABLE_ENTRY_SIZE).div_ceil(subject.geometry.cluster_size());
            let room = allocator.room_for(used.len() as u64 + size);
            let (blocks, table) = (room.start..room.end - size, room.end - size..room.end);
            // A block covers at least 64 clusters, so this soon converges.
            let before = used.len();
            used.extend(blocks.start >> block_bits..=(table.end - 1) >> block_bits);
            if used.len() == before {
                return Ok(Self { width, block_bits, used, blocks, table });
            }
        }
    }

    async fn write<S: StorageMut>(
        &self,
        subject: &Subject<'_, S>,
        counter: &mut Counter<'_, S>,
    ) -> Result<(), Error<S::Error>> {
        let mut table = vec![
            0_u8;
            usize::try_from((self.table.end - self.table.start) << subject.geometry.cluster_bits())
                .unwrap_or(0)
        ];
        for (index, cluster) in self.used.iter().zip(self.blocks.clone()) {
            let offset = subject.offset_of(cluster);
            let block = self.block(*index, subject, counter).await?;
            subject.file.write(offset, &block).await.map_err(Error::Storage)?;
            let at = usize::try_from(index * TABLE_ENTRY_SIZE).unwrap_or(usize::MAX);
            if let Some(entry) = table.get_mut(at..at.saturating_add(8)) {
                entry.copy_from_slice(&offset.0.to_be_bytes());
            }
        }
        subject.file.write(subject.offset_of(self.table.start), &table).await.map_err(Error::Storage)
    }

    async fn block<S: Storage>(
        &self,
        index: u64,
        subject: &Subject<'_, S>,
        counter: &mut Counter<'_, S>,
    ) -> Result<Vec<u8>, Error<S::Error>> {
        let mut words = vec![0_u64; usize::try_from(subject.geometry.cluster_size() / 8).unwrap_or(0)];
        let clusters = index << self.block_bits..(index + 1) << self.block_bits;
        let limit = counter.subject.clusters() + 1;
        let mut cluster = clusters.start;
        while cluster < clusters.end.min(limit) {
            let window = counter.window_with(cluster).await?;
            let end = window.end.min(clusters.end);
            for cluster in cluster..end {
                let count = counter.references.count(cluster).min(self.width.max());
                self.set(&mut words, cluster - clusters.start, count);
            }
            cluster = end;
        }
        for own in self.blocks.start.max(clusters.start)..self.table.end.min(clusters.end) {
            self.set(&mut words, own - clusters.start, 1);
        }
        Ok(words.iter().flat_map(|word| word.to_be_bytes()).collect())
    }

    fn set(&self, words: &mut [u64], within: u64, count: u64) {
        let position = self.width.position(within);
        if let Some(word) = words.get_mut(usize::try_from(position.word_byte / 8).unwrap_or(usize::MAX)) {
            *word = self.width.set(*word, position, count);
        }
    }
}

impl<S: Storage> Counter<'_, S> {
    /// Makes sure that `cluster` is in the counted window.
    async fn window_with(&mut self, cluster: u64) -> Result<Range<u64>, Error<S::Error>> {
        if !self.references.window().contains(&cluster) {
            self.count(cluster).await?;
        }
        Ok(self.references.window())
    }

    pub(super) fn references(&mut self) -> &mut References {
        &mut self.references
    }
}

/// Returns header fields and their host offset. Written at once, they switch an image to its new tables.
pub(in crate::image) fn switching_fields(raw: &RawHeader) -> (HostOffset, Vec<u8>) {
    let mut bytes = Vec::from(raw.l1_size.to_be_bytes());
    bytes.extend_from_slice(&raw.l1_table_offset.to_be_bytes());
    bytes.extend_from_slice(&raw.refcount_table_offset.to_be_bytes());
    bytes.extend_from_slice(&raw.refcount_table_clusters.to_be_bytes());
    bytes.extend_from_slice(&raw.nb_snapshots.to_be_bytes());
    bytes.extend_from_slice(&raw.snapshots_offset.to_be_bytes());
    if raw.version >= 3 {
        bytes.extend_from_slice(&raw.incompatible_features.to_be_bytes());
        bytes.extend_from_slice(&raw.compatible_features.to_be_bytes());
        bytes.extend_from_slice(&raw.autoclear_features.to_be_bytes());
        bytes.extend_from_slice(&raw.refcount_order.to_be_bytes());
    }
    (HostOffset(crate::field::L1_SIZE), bytes)
}
