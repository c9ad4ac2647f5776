//! The walk over everything that refers to clusters of an image.

use alloc::vec::Vec;

use super::bitmaps;
use super::finding::Finding;
use super::luks_header::LuksArea;
use super::sink::{Owner, Reference, Referred, Sink};
use super::snapshots::SnapshotTables;
use super::subject::Subject;
use super::table_reader::Segments;
use crate::error::Error;
use crate::field;
use crate::format::header::extension::CryptoHeader;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry, L1Table};
use crate::format::l2::L2Entry;
use crate::format::l2_corruption::{L2Corruption, Target};
use crate::format::refcount::TABLE_ENTRY_SIZE;
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// Walks over all of `subject` except the refcount blocks.
pub(in crate::image) async fn walk<S: Storage>(
    subject: &Subject<'_, S>,
    snapshots: &SnapshotTables,
    sink: &mut impl Sink<S::Error>,
) -> Result<(), Error<S::Error>> {
    let raw = &subject.raw;
    let mut refer = |source, start, length| {
        if length > 0 {
            sink.refer(Reference {
                source: HostOffset(source),
                start: HostOffset(start),
                length,
                what: Referred::Other,
            });
        }
    };
    refer(0, 0, subject.geometry.cluster_size());
    refer(field::SNAPSHOTS_OFFSET, raw.snapshots_offset, snapshots.length);
    let refcount_table = u64::from(raw.refcount_table_clusters) << subject.geometry.cluster_bits();
    refer(field::REFCOUNT_TABLE_OFFSET, raw.refcount_table_offset, refcount_table);
    if let Some(LuksArea { source, recorded: CryptoHeader { offset, length }, own_length }) =
        LuksArea::read(subject).await?
    {
        // If the header is truncated, the existing part is in use.
        let in_use = own_length.map_or(length, |own| own.min(subject.bytes_from(HostOffset(offset))));
        refer(source.0, offset, in_use);
        if let Some(own) = own_length {
            sink.find(Finding::PastEnd { reference_offset: source.0, offset, length, lost: own == 0 });
        }
    }
    bitmaps::walk(subject, sink).await?;
    let mut walker = Walker { subject, table: Vec::new() };
    walker.walk_l1(Owner::Active, HostOffset(field::L1_TABLE_OFFSET), subject.active_l1(), sink).await?;
    for (index, snapshot) in snapshots.entries.iter().enumerate().filter(|(_, snapshot)| snapshot.is_readable) {
        walker.walk_l1(Owner::Snapshot(index), snapshot.offset, snapshot.l1, sink).await?;
    }
    Ok(())
}

struct Walker<'a, 's, S> {
    subject: &'a Subject<'s, S>,
    table: Vec<u8>,
}

impl<S: Storage> Walker<'_, '_, S> {
    async fn walk_l1(
        &mut self,
        owner: Owner,
        source: HostOffset,
        l1: L1Table,
        sink: &mut impl Sink<S::Error>,
    ) -> Result<(), Error<S::Error>> {
        let length = l1.entries * L1_ENTRY_SIZE;
        if length > 0 {
            let what = if owner == Owner::Active { Referred::Other } else { Referred::SnapshotL1 };
            sink.refer(Reference { source, start: l1.offset, length, what });
        }
        let mut segments = Segments::new(self.subject, l1.offset, length);
        while let Some(words) = segments.next().await? {
            let entries = words.len() as u64;
            for (source, entry) in words.filter(|(_, entry)| *entry != 0) {
                self.walk_l1_entry(owner, source, L1Entry(entry), sink).await?;
            }
            sink.progress(entries)?;
        }
        Ok(())
    }

    async fn walk_l1_entry(
        &mut self,
        owner: Owner,
        source: HostOffset,
        entry: L1Entry,
        sink: &mut impl Sink<S::Error>,
    ) -> Result<(), Error<S::Error>> {
        let (entry_offset, table) = (source.0, entry.offset());
        if entry.has_reserved_bits() {
            sink.find(Finding::L1Reserved { entry_offset, entry: entry.0 });
        }
        if table.0 == 0 {
            if !entry.has_reserved_bits() {
                sink.find(Finding::L1WithoutTable { entry_offset, entry: entry.0 });
            }
            return Ok(());
        }
        let length = self.subject.geometry.cluster_size();
        sink.refer(Reference { source, start: table, length, what: Referred::L2Table });
        if !self.subject.geometry.is_cluster_aligned(table.0) {
            sink.find(Finding::L2TableUnaligned { entry_offset, table: table.0 });
        }
        sink.l1_entry(owner, source, entry).await?;
        let length = length.min(self.subject.bytes_from(table));
        self.table.resize(usize::try_from(length).unwrap_or(0), 0);
        self.subject.read_zero_padded(table, &mut self.table).await?;
        self.walk_l2(owner, table, sink);
        sink.end_of_table().await
    }

    /// Walks over the L2 table that was read.
    fn walk_l2(&self, owner: Owner, table: HostOffset, sink: &mut impl Sink<S::Error>) {
        let (rules, size) = (self.subject.rules(), self.subject.geometry.cluster_size());
        for (source, entry) in entries(&self.table, table, self.subject.geometry.extended_l2()) {
            let target = entry.examine(rules, |corruption| sink.find(corruption.finding(source, entry)));
            match target {
                Target::Compressed(span) => {
                    let (start, length) = (span.start, span.length);
                    sink.refer(Reference { source, start, length, what: Referred::Compressed });
                }
                // A data file has no refcounts.
                Target::Cluster(start) if !rules.data_file => {
                    sink.refer(Reference { source, start, length: size, what: Referred::Data });
                }
                Target::Cluster(_) | Target::Nothing => {}
            }
            sink.l2_entry(owner, source, entry, target);
        }
    }
}

/// Returns the nonzero entries of a table at `start` with their host offsets.
pub(in crate::image) fn entries(
    table: &[u8],
    start: HostOffset,
    extended: bool,
) -> impl Iterator<Item = (HostOffset, L2Entry)> {
    let size = if extended { 16 } else { 8 };
    table.chunks_exact(size).enumerate().filter_map(move |(index, bytes)| {
        let entry = L2Entry::from_bytes(bytes);
        let source = start.plus((index * size) as u64);
        (entry.word != 0 || entry.bitmap != 0).then_some((source, entry))
    })
}

impl L2Corruption {
    /// Returns the finding for an entry with this corruption.
    fn finding(self, source: HostOffset, entry: L2Entry) -> Finding {
        let (entry_offset, cluster, bitmap) = (source.0, entry.offset().0, entry.bitmap);
        match self {
            Self::Reserved => Finding::L2Reserved { entry_offset, entry: entry.word },
            Self::CompressedCopied => Finding::CompressedCopied { entry_offset },
            Self::CompressedBitmap => Finding::CompressedBitmap { entry_offset, bitmap },
            Self::CompressedWithDataFile => Finding::CompressedWithDataFile { entry_offset },
            Self::ZeroInVersion2 => Finding::ZeroInVersion2 { entry_offset },
            Self::Subclusters | Self::SubclustersWithoutCluster => Finding::Subclusters { entry_offset, bitmap },
            Self::UnalignedZero => Finding::ClusterUnaligned { entry_offset, cluster, data: false },
            Self::UnalignedData => Finding::ClusterUnaligned { entry_offset, cluster, data: true },
        }
    }
}

/// The number of entries of all L1 tables of an image.
pub(in crate::image) fn l1_entries<S: Storage>(subject: &Subject<'_, S>, snapshots: &SnapshotTables) -> u64 {
    let readable = snapshots.entries.iter().filter(|snapshot| snapshot.is_readable);
    subject.active_l1().entries + readable.map(|snapshot| snapshot.l1.entries).sum::<u64>()
}

/// The host offset of an entry of the refcount table.
pub(in crate::image) fn refcount_entry<S: Storage>(subject: &Subject<'_, S>, index: usize) -> HostOffset {
    HostOffset(subject.raw.refcount_table_offset).plus(index as u64 * TABLE_ENTRY_SIZE)
}
