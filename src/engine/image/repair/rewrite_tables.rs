//! The tables of an image, repaired: those that change are written anew behind the end of the file.
//!
//! Nothing of the image as it is gets overwritten. That makes the whole a matter of one header write, and it is what
//! keeps a repair from doing harm: where an entry is broken it may point anywhere, so what looks like a table full of
//! errors may be somebody's data. A table whose cluster something else refers to as well is moved for that reason alone,
//! so that its flags can be set in place later.

use alloc::vec;
use alloc::vec::Vec;

use hashbrown::{HashMap, HashSet};

use super::file_end::Behind;
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
use crate::image::check::refcounts::StoredCounts;
use crate::image::check::sink::{Reference, Referred, Sink};
use crate::image::check::snapshots::{SnapshotEntry, SnapshotTables};
use crate::image::check::subject::Subject;
use crate::image::check::walk::walk;
use crate::storage::{Storage, StorageMut};

/// Writes the tables that change, and gives the header that points to them, and the room behind them. The file is as good
/// as before until that header is written.
pub(in crate::image) async fn rewrite<S: StorageMut>(
    subject: &Subject<'_, S>,
    policy: Policy,
) -> Result<(RawHeader, Behind), Error<S::Error>> {
    let mut snapshots = SnapshotTables::salvage(subject).await?;
    let Surroundings { contested, behind, .. } = Surroundings::find(subject, &snapshots).await?;
    let mut rewriter = Rewriter {
        subject,
        policy,
        behind,
        moved: HashMap::new(),
        contested: contested.unwrap_or_default(),
        zeros: None,
    };
    let mut raw = subject.raw.clone();
    let l1 = rewriter.l1(subject.active_l1()).await?;
    raw.l1_table_offset = l1.offset.0;
    rewriter.snapshots(&mut snapshots, &mut raw).await?;
    if policy.accept_loss && bitmaps_are_broken(subject).await? {
        // Then they are nobody's.
        raw.autoclear_features &= !feature::BITMAPS;
    }
    Ok((raw, rewriter.behind))
}

struct Rewriter<'a, S> {
    subject: &'a Subject<'a, S>,
    policy: Policy,
    behind: Behind,
    /// Where the L2 tables are that were written anew.
    moved: HashMap<u64, u64>,
    contested: HashSet<u64>,
    /// A cluster of zeros, and how many entries use it.
    zeros: Option<(HostOffset, u64)>,
}

impl<S: StorageMut> Rewriter<'_, S> {
    /// The L1 table, where it is now.
    async fn l1(&mut self, l1: L1Table) -> Result<L1Table, Error<S::Error>> {
        let length = l1.entries * L1_ENTRY_SIZE;
        // At most 32 MiB.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.subject.fill(l1.offset, &mut bytes).await?;
        let mut changed = length > 0 && self.subject.area(l1.offset, length).is_none();
        for word in bytes.as_chunks_mut::<8>().0 {
            let entry = L1Entry(u64::from_be_bytes(*word));
            if entry.0 != 0 {
                let new = self.l1_entry(entry).await?;
                changed |= new != entry;
                *word = new.0.to_be_bytes();
            }
        }
        let offset = if changed { self.put(&bytes).await? } else { l1.offset };
        Ok(L1Table { offset, ..l1 })
    }

    async fn l1_entry(&mut self, entry: L1Entry) -> Result<L1Entry, Error<S::Error>> {
        let (geometry, table) = (self.subject.geometry, entry.offset());
        if !geometry.is_cluster_aligned(table.0) {
            return Ok(if self.policy.accept_loss { L1Entry(0) } else { entry });
        }
        // A table past the end reads as zeros: nothing is mapped.
        if table.0 == 0 || self.subject.area(table, geometry.cluster_size()).is_none() {
            return Ok(L1Entry(0));
        }
        Ok(match self.l2(table).await? {
            Some(moved) => L1Entry(moved.0),
            None => entry.without_reserved_bits(),
        })
    }

    /// Where the L2 table is now, if it moved.
    async fn l2(&mut self, table: HostOffset) -> Result<Option<HostOffset>, Error<S::Error>> {
        if let Some(moved) = self.moved.get(&table.0) {
            return Ok(Some(HostOffset(*moved)));
        }
        let mut bytes = self.subject.cluster_buffer();
        self.subject.fill(table, &mut bytes).await?;
        let mut changed = self.contested.contains(&table.0);
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
        let moved = self.put(&bytes).await?;
        self.moved.insert(table.0, moved.0);
        Ok(Some(moved))
    }

    fn reaches_past_end(&self, entry: L2Entry) -> bool {
        // The bitmap of a compressed cluster doesn't matter here.
        let area = match (L2Entry { bitmap: if entry.is_compressed() { 0 } else { entry.bitmap }, ..entry })
            .examine(self.subject.rules(), |_| {})
        {
            Target::Compressed(span) => self.subject.area(span.start, span.length),
            Target::Cluster(start) => self.subject.area(start, self.subject.geometry.cluster_size()),
            Target::Nothing => return false,
        };
        area.is_none()
    }

    /// The snapshots: their L1 tables, and then their table where one of them changed.
    async fn snapshots(&mut self, table: &mut SnapshotTables, raw: &mut RawHeader) -> Result<(), Error<S::Error>> {
        let is_somewhere = self.subject.geometry.is_cluster_aligned(raw.snapshots_offset);
        let must_go = self.policy.accept_loss && (self.subject.has_data_file() || !is_somewhere);
        if must_go {
            (raw.nb_snapshots, raw.snapshots_offset) = (0, 0);
            return Ok(());
        }
        let is_cut = table.entries.len() as u64 != u64::from(raw.nb_snapshots);
        let mut changed = self.subject.area(HostOffset(raw.snapshots_offset), table.length).is_none()
            || table.findings.iter().any(|finding| matches!(finding, Finding::SnapshotIncomplete { .. }));
        if self.policy.accept_loss {
            changed |=
                is_cut || table.findings.iter().any(|finding| matches!(finding, Finding::SnapshotExtraData { .. }));
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
        // At most 64 MiB, as the old one.
        let mut bytes: Vec<u8> = Vec::new();
        for entry in entries {
            bytes.resize(bytes.len().next_multiple_of(usize::try_from(ALIGNMENT).unwrap_or(8)), 0);
            let mut old = vec![0; usize::try_from(entry.layout.length()).unwrap_or(0)];
            self.subject.fill(entry.place, &mut old).await?;
            bytes.extend(rewritten_entry(entry.layout, &old, entry.l1.offset, self.subject.disk_size()));
        }
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let offset = if bytes.is_empty() { HostOffset(0) } else { self.put(&bytes).await? };
        Ok((offset, count))
    }

    /// Writes `bytes` behind everything.
    async fn put(&mut self, bytes: &[u8]) -> Result<HostOffset, Error<S::Error>> {
        let clusters = (bytes.len() as u64).div_ceil(self.subject.geometry.cluster_size());
        let place = self.take(clusters);
        self.subject.file.write(place, bytes).await.map_err(Error::Storage)?;
        Ok(place)
    }

    /// A cluster of zeros, for as many entries as a count of version 2 can hold.
    fn zero_cluster(&mut self) -> HostOffset {
        // Each snapshot may count each entry once more.
        let most = (u64::from(u16::MAX) / (u64::from(self.subject.raw.nb_snapshots) + 1)).max(1);
        match &mut self.zeros {
            Some((cluster, uses)) if *uses < most => {
                *uses += 1;
                *cluster
            }
            _ => {
                // What lies behind the end of a file is zeros, once the file is so long.
                let cluster = self.take(1);
                self.zeros = Some((cluster, 1));
                cluster
            }
        }
    }

    fn take(&mut self, clusters: u64) -> HostOffset {
        self.subject.offset_of(self.behind.take(clusters).start)
    }
}

/// What the references of an image say of where things may be.
struct Surroundings {
    geometry: Geometry,
    /// How many clusters the file has.
    clusters: u64,
    tables: HashSet<u64>,
    /// The L2 tables whose clusters something else refers to as well; looked for in the second walk.
    contested: Option<HashSet<u64>>,
    behind: Behind,
}

impl Surroundings {
    async fn find<S: Storage>(subject: &Subject<'_, S>, snapshots: &SnapshotTables) -> Result<Self, Error<S::Error>> {
        let (geometry, clusters) = (subject.geometry, subject.clusters());
        let behind = Behind::of(clusters);
        let mut found = Self { geometry, clusters, tables: HashSet::new(), contested: None, behind };
        walk(subject, snapshots, &mut found).await?;
        found.contested = Some(HashSet::new());
        walk(subject, snapshots, &mut found).await?;
        for (_, _, entry) in StoredCounts::read(subject).await?.entries(subject) {
            found.meet(HostOffset(entry), 1);
        }
        Ok(found)
    }

    fn meet(&mut self, start: HostOffset, length: u64) {
        let bits = self.geometry.cluster_bits();
        let clusters = start.0 >> bits..start.plus(length).0.div_ceil(1 << bits);
        self.behind.avoid(clusters.clone());
        let Some(contested) = &mut self.contested else { return };
        // An area may claim to be of any length, but a table past the end of the file is given up anyway.
        let in_file = clusters.start..clusters.end.min(self.clusters);
        for table in in_file.map(|cluster| cluster << bits).filter(|table| self.tables.contains(table)) {
            contested.insert(table);
        }
    }
}

impl<E> Sink<E> for Surroundings {
    fn refer(&mut self, reference: Reference) {
        let Reference { start, length, what, .. } = reference;
        if what != Referred::L2Table || !self.geometry.is_cluster_aligned(start.0) {
            self.meet(start, length);
        } else if self.contested.is_none() {
            self.tables.insert(start.0);
            self.meet(start, length);
        }
    }
}

async fn bitmaps_are_broken<S: Storage>(subject: &Subject<'_, S>) -> Result<bool, Error<S::Error>> {
    struct Bitmaps<'a, S> {
        subject: &'a Subject<'a, S>,
        are_broken: bool,
    }
    impl<E, S: Storage> Sink<E> for Bitmaps<'_, S> {
        fn refer(&mut self, reference: Reference) {
            self.are_broken |= self.subject.area(reference.start, reference.length).is_none();
        }
        fn find(&mut self, _finding: Finding) {
            self.are_broken = true;
        }
    }
    let mut bitmaps = Bitmaps { subject, are_broken: false };
    crate::image::check::bitmaps::walk(subject, &mut bitmaps).await?;
    Ok(bitmaps.are_broken)
}
