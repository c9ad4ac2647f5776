//! Repairing the tables of an image: those that change are rewritten after the end of the file.
//!
//! Nothing of the existing image is overwritten, so one header write completes the repair. This also keeps a repair
//! from doing harm: a corrupt entry may point anywhere, so what looks like a table full of errors may be guest data. A
//! table whose cluster has other references is moved for that reason alone, so that its flags can be set in place
//! later.

use alloc::vec;
use alloc::vec::Vec;

use hashbrown::{HashMap, HashSet};

use super::file_end::EndAllocator;
use super::l2_entry::{Policy, Repaired, repaired};
use crate::error::Error;
use crate::format::geometry::Geometry;
use crate::format::header::RawHeader;
use crate::format::header::feature;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry, L1Table};
use crate::format::l2::L2Entry;
use crate::format::l2_corruption::Target;
use crate::format::snapshot::{ALIGNMENT, rewritten_entry};
use crate::format::units::HostOffset;
use crate::image::check::Finding;
use crate::image::check::refcounts::StoredRefcounts;
use crate::image::check::sink::{Reference, Referred, Sink};
use crate::image::check::snapshots::{SnapshotEntry, SnapshotTables};
use crate::image::check::subject::Subject;
use crate::image::check::walk::walk;
use crate::storage::{Storage, StorageMut};

/// Writes the tables that change. Returns the header that points to them, and the allocator for the space after them.
/// The file is unaffected until that header is written.
pub(in crate::image) async fn rewrite<S: StorageMut>(
    subject: &Subject<'_, S>,
    policy: Policy,
) -> Result<(RawHeader, EndAllocator), Error<S::Error>> {
    let mut snapshots = SnapshotTables::salvage(subject).await?;
    let ReferenceScan { shared, allocator, .. } = ReferenceScan::find(subject, &snapshots).await?;
    let mut rewriter =
        Rewriter { subject, policy, allocator, moved: HashMap::new(), shared: shared.unwrap_or_default(), zeros: None };
    let mut raw = subject.raw.clone();
    let l1 = rewriter.l1(subject.active_l1()).await?;
    raw.l1_table_offset = l1.offset.0;
    rewriter.snapshots(&mut snapshots, &mut raw).await?;
    if policy.accept_loss && bitmaps_are_corrupt(subject).await? {
        // Without the feature bit, the bitmaps are dropped.
        raw.autoclear_features &= !feature::BITMAPS;
    }
    Ok((raw, rewriter.allocator))
}

struct Rewriter<'a, S> {
    subject: &'a Subject<'a, S>,
    policy: Policy,
    allocator: EndAllocator,
    /// The new offsets of the rewritten L2 tables.
    moved: HashMap<u64, u64>,
    shared: HashSet<u64>,
    /// A cluster of zeros, and how many entries use it.
    zeros: Option<(HostOffset, u64)>,
}

impl<S: StorageMut> Rewriter<'_, S> {
    /// Repairs an L1 table. Returns its current position.
    async fn l1(&mut self, l1: L1Table) -> Result<L1Table, Error<S::Error>> {
        let length = l1.entries * L1_ENTRY_SIZE;
        // At most 32 MiB.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.subject.read_zero_padded(l1.offset, &mut bytes).await?;
        let mut changed = length > 0 && self.subject.area(l1.offset, length).is_none();
        for word in bytes.as_chunks_mut::<8>().0 {
            let entry = L1Entry(u64::from_be_bytes(*word));
            if entry.0 != 0 {
                let new = self.l1_entry(entry).await?;
                changed |= new != entry;
                *word = new.0.to_be_bytes();
            }
        }
        let offset = if changed { self.write_new(&bytes).await? } else { l1.offset };
        Ok(L1Table { offset, ..l1 })
    }

    async fn l1_entry(&mut self, entry: L1Entry) -> Result<L1Entry, Error<S::Error>> {
        let (geometry, table) = (self.subject.geometry, entry.offset());
        if !geometry.is_cluster_aligned(table.0) {
            return Ok(if self.policy.accept_loss { L1Entry(0) } else { entry });
        }
        // A table past the end reads as zeros: it maps nothing.
        if table.0 == 0 || self.subject.area(table, geometry.cluster_size()).is_none() {
            return Ok(L1Entry(0));
        }
        Ok(match self.l2(table).await? {
            Some(moved) => L1Entry(moved.0),
            None => entry.without_reserved_bits(),
        })
    }

    /// Repairs an L2 table. Returns its new offset if it moved.
    async fn l2(&mut self, table: HostOffset) -> Result<Option<HostOffset>, Error<S::Error>> {
        if let Some(moved) = self.moved.get(&table.0) {
            return Ok(Some(HostOffset(*moved)));
        }
        let mut bytes = self.subject.cluster_buffer();
        self.subject.read_zero_padded(table, &mut bytes).await?;
        let mut changed = self.shared.contains(&table.0);
        let rules = self.subject.rules();
        let size = if rules.geometry.extended_l2() { 16 } else { 8 };
        for slot in bytes.chunks_exact_mut(size) {
            let entry = L2Entry::from_bytes(slot);
            if entry.word == 0 && entry.bitmap == 0 {
                continue;
            }
            let new = match repaired(entry, rules, self.policy, self.reaches_past_end(entry)) {
                Repaired::Entry(new) => new,
                Repaired::ZeroCluster => L2Entry::copied(self.zero_cluster(), 1, 0, rules.geometry).with_copied(false),
            };
            if new != entry {
                changed = true;
                new.to_bytes(slot);
            }
        }
        if !changed {
            return Ok(None);
        }
        let moved = self.write_new(&bytes).await?;
        self.moved.insert(table.0, moved.0);
        Ok(Some(moved))
    }

    fn reaches_past_end(&self, entry: L2Entry) -> bool {
        // The bitmap of a compressed cluster does not matter here.
        let area = match (L2Entry { bitmap: if entry.is_compressed() { 0 } else { entry.bitmap }, ..entry })
            .examine(self.subject.rules(), |_| {})
        {
            Target::Compressed(span) => self.subject.area(span.start, span.length),
            Target::Cluster(start) => self.subject.area(start, self.subject.geometry.cluster_size()),
            Target::Nothing => return false,
        };
        area.is_none()
    }

    /// Repairs the L1 tables of the snapshots, and the snapshot table if one of them moved.
    async fn snapshots(&mut self, table: &mut SnapshotTables, raw: &mut RawHeader) -> Result<(), Error<S::Error>> {
        let is_valid_offset = self.subject.geometry.is_cluster_aligned(raw.snapshots_offset);
        let drops_all = self.policy.accept_loss && (self.subject.has_data_file() || !is_valid_offset);
        if drops_all {
            (raw.nb_snapshots, raw.snapshots_offset) = (0, 0);
            return Ok(());
        }
        let is_truncated = table.entries.len() as u64 != u64::from(raw.nb_snapshots);
        let mut changed = self.subject.area(HostOffset(raw.snapshots_offset), table.length).is_none()
            || table.findings.iter().any(|finding| matches!(finding, Finding::SnapshotIncomplete { .. }));
        if self.policy.accept_loss {
            changed |= is_truncated
                || table.findings.iter().any(|finding| matches!(finding, Finding::SnapshotExtraData { .. }));
            let before = table.entries.len();
            table.entries.retain(|entry| entry.is_readable && self.is_there(entry.l1));
            changed |= table.entries.len() != before;
        }
        for entry in &mut table.entries {
            if !entry.is_readable || !self.is_there(entry.l1) {
                continue;
            }
            let l1 = self.l1(entry.l1).await?;
            changed |= l1 != entry.l1;
            entry.l1 = l1;
        }
        if changed {
            let (offset, count) = self.snapshot_table(&table.entries).await?;
            (raw.snapshots_offset, raw.nb_snapshots) = (offset.0, count);
        }
        Ok(())
    }

    fn is_there(&self, l1: L1Table) -> bool {
        l1.entries == 0 || self.subject.area(l1.offset, l1.entries * L1_ENTRY_SIZE).is_some()
    }

    async fn snapshot_table(&mut self, entries: &[SnapshotEntry]) -> Result<(HostOffset, u32), Error<S::Error>> {
        // At most 64 MiB, like the old table.
        let mut bytes: Vec<u8> = Vec::new();
        for entry in entries {
            bytes.resize(bytes.len().next_multiple_of(usize::try_from(ALIGNMENT).unwrap_or(8)), 0);
            let mut old = vec![0; usize::try_from(entry.layout.length()).unwrap_or(0)];
            self.subject.read_zero_padded(entry.offset, &mut old).await?;
            bytes.extend(rewritten_entry(entry.layout, &old, entry.l1.offset, self.subject.disk_size()));
        }
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let offset = if bytes.is_empty() { HostOffset(0) } else { self.write_new(&bytes).await? };
        Ok((offset, count))
    }

    /// Writes `bytes` to newly allocated clusters.
    async fn write_new(&mut self, bytes: &[u8]) -> Result<HostOffset, Error<S::Error>> {
        let clusters = (bytes.len() as u64).div_ceil(self.subject.geometry.cluster_size());
        let offset = self.allocate(clusters);
        self.subject.file.write(offset, bytes).await.map_err(Error::Storage)?;
        Ok(offset)
    }

    /// Returns a cluster of zeros, used by as many entries as a refcount of version 2 allows.
    fn zero_cluster(&mut self) -> HostOffset {
        // Each snapshot may add one reference per entry.
        let most = (u64::from(u16::MAX) / (u64::from(self.subject.raw.nb_snapshots) + 1)).max(1);
        match &mut self.zeros {
            Some((cluster, uses)) if *uses < most => {
                *uses += 1;
                *cluster
            }
            _ => {
                // The space after the end of the file reads as zeros once the file grows over it.
                let cluster = self.allocate(1);
                self.zeros = Some((cluster, 1));
                cluster
            }
        }
    }

    fn allocate(&mut self, clusters: u64) -> HostOffset {
        self.subject.offset_of(self.allocator.allocate(clusters).start)
    }
}

/// The references of an image: they limit which clusters can be used.
struct ReferenceScan {
    geometry: Geometry,
    /// The number of clusters of the file.
    clusters: u64,
    tables: HashSet<u64>,
    /// The L2 tables whose clusters have other references; found in the second walk.
    shared: Option<HashSet<u64>>,
    allocator: EndAllocator,
}

impl ReferenceScan {
    async fn find<S: Storage>(subject: &Subject<'_, S>, snapshots: &SnapshotTables) -> Result<Self, Error<S::Error>> {
        let (geometry, clusters) = (subject.geometry, subject.clusters());
        let allocator = EndAllocator::new(clusters);
        let mut found = Self { geometry, clusters, tables: HashSet::new(), shared: None, allocator };
        walk(subject, snapshots, &mut found).await?;
        found.shared = Some(HashSet::new());
        walk(subject, snapshots, &mut found).await?;
        for (_, _, entry) in StoredRefcounts::read(subject).await?.entries(subject) {
            found.add_area(HostOffset(entry), 1);
        }
        Ok(found)
    }

    fn add_area(&mut self, start: HostOffset, length: u64) {
        let bits = self.geometry.cluster_bits();
        let clusters = start.0 >> bits..start.plus(length).0.div_ceil(1 << bits);
        self.allocator.avoid(clusters.clone());
        let Some(shared) = &mut self.shared else { return };
        // An area may have any length, but a table past the end of the file is dropped anyway.
        let in_file = clusters.start..clusters.end.min(self.clusters);
        for table in in_file.map(|cluster| cluster << bits).filter(|table| self.tables.contains(table)) {
            shared.insert(table);
        }
    }
}

impl<E> Sink<E> for ReferenceScan {
    fn refer(&mut self, reference: Reference) {
        let Reference { start, length, what, .. } = reference;
        if what != Referred::L2Table || !self.geometry.is_cluster_aligned(start.0) {
            self.add_area(start, length);
        } else if self.shared.is_none() {
            self.tables.insert(start.0);
            self.add_area(start, length);
        }
    }
}

async fn bitmaps_are_corrupt<S: Storage>(subject: &Subject<'_, S>) -> Result<bool, Error<S::Error>> {
    struct Bitmaps<'a, S> {
        subject: &'a Subject<'a, S>,
        are_corrupt: bool,
    }
    impl<E, S: Storage> Sink<E> for Bitmaps<'_, S> {
        fn refer(&mut self, reference: Reference) {
            self.are_corrupt |= self.subject.area(reference.start, reference.length).is_none();
        }
        fn find(&mut self, _finding: Finding) {
            self.are_corrupt = true;
        }
    }
    let mut bitmaps = Bitmaps { subject, are_corrupt: false };
    crate::image::check::bitmaps::walk(subject, &mut bitmaps).await?;
    Ok(bitmaps.are_corrupt)
}
