//! Rewriting the tables of a disk with other refcounts, COPIED flags or entries.
//!
//! An L2 table is copied only if an entry changes. A table that several L1 tables point to stays where it is for the
//! others. At most one L2 table and one L1 table, of at most 32 MiB, are in memory at a time.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{Corrupt, Error};
use crate::format::copied::flag_for;
use crate::format::geometry::Geometry;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry, L1Table};
use crate::format::l2::{Cluster, L2Entry, L2Rules};
use crate::format::units::{HostOffset, usize_of};
use crate::image::layer::Qcow2File;
use crate::image::progress::Steps;
use crate::meta::exclusive::ExclusiveGuard;
use crate::meta::restructure::Restructure;
use crate::meta::writeback::Writeback;
use crate::storage::StorageMut;

/// A rewrite of the tables of an image.
pub(in crate::image) struct Rewrite<'a, S> {
    file: &'a Qcow2File<S>,
    pub(in crate::image) new: Restructure<'a, S>,
    rules: L2Rules,
    steps: Steps<'a>,
}

/// The entries of an L1 table.
pub(in crate::image) type L1 = Vec<L1Entry>;

/// The change of the L2 tables of an L1 table.
#[derive(Clone, Copy)]
enum Pass {
    /// Adds one reference to each cluster and clears the COPIED flags.
    Share,
    /// Sets each COPIED flag by the refcount, and drops the entries from guest cluster `keep`.
    CopiedFlags { keep: u64 },
}

/// The new contents of an L2 table.
#[derive(Default)]
struct Table {
    bytes: Vec<u8>,
    changed: bool,
    /// Whether some entry is not empty.
    in_use: bool,
}

impl<'a, S: StorageMut> Rewrite<'a, S> {
    pub(in crate::image) async fn begin(
        file: &'a Qcow2File<S>,
        writeback: &'a Writeback,
        closed: &ExclusiveGuard<'_>,
        steps: Steps<'a>,
    ) -> Result<Self, Error<S::Error>> {
        let new = Restructure::begin(&file.files, writeback, closed).await?;
        Ok(Self { file, new, rules: file.tables.rules(), steps })
    }

    pub(in crate::image) fn geometry(&self) -> Geometry {
        self.rules.geometry
    }

    /// Sets how many L2 tables will be processed.
    pub(in crate::image) fn expect(&mut self, tables: usize) {
        self.steps.expect(tables);
    }

    /// The number of L1 entries that the guest clusters before `keep` need.
    pub(in crate::image) fn l1_entries_for_clusters(&self, keep: u64) -> usize {
        usize_of(keep.div_ceil(self.geometry().l2_entries()))
    }

    /// Reads a whole L1 table.
    pub(in crate::image) async fn read_l1(&self, table: L1Table) -> Result<L1, Error<S::Error>> {
        let mut bytes = vec![0; usize_of(table.entries * L1_ENTRY_SIZE)];
        self.file.files.image.read(table.offset, &mut bytes).await.map_err(Error::Storage)?;
        let (entries, _) = bytes.as_chunks::<8>();
        Ok(entries.iter().map(|entry| L1Entry(u64::from_be_bytes(*entry))).collect())
    }

    /// Writes an L1 table of at least one entry to new clusters.
    pub(in crate::image) async fn write_l1(&mut self, l1: &[L1Entry]) -> Result<L1Table, Error<S::Error>> {
        let mut bytes: Vec<u8> = l1.iter().flat_map(|entry| entry.0.to_be_bytes()).collect();
        if bytes.is_empty() {
            bytes.resize(usize_of(L1_ENTRY_SIZE), 0);
        }
        let entries = bytes.len() as u64 / L1_ENTRY_SIZE;
        let table = L1Table { offset: self.new.write_new(bytes).await?, entries };
        self.new.register_table(self.l1_clusters(table));
        Ok(table)
    }

    /// Frees the clusters of an L1 table, but not the tables that it points to.
    pub(in crate::image) async fn remove_l1(&mut self, table: L1Table) -> Result<(), Error<S::Error>> {
        let clusters = self.l1_clusters(table);
        self.new.unregister_table(clusters.clone());
        self.new.remove_references(clusters).await
    }

    fn l1_clusters(&self, table: L1Table) -> Range<u64> {
        let bits = self.geometry().cluster_bits();
        let start = table.offset.0 >> bits;
        start..start + (table.entries * L1_ENTRY_SIZE).div_ceil(1 << bits)
    }

    /// Returns the L2 table of an L1 entry at host offset `entry_offset`.
    fn table_of(&self, entry: L1Entry, entry_offset: HostOffset) -> Result<Option<HostOffset>, Corrupt> {
        let unaligned = |table| Corrupt::L2TableUnaligned { entry_offset: entry_offset.0, table };
        entry.l2_table(self.geometry()).map_err(|table| unaligned(table.0))
    }

    /// Removes the references of `l1`, read from `offset`: L2 tables, and their clusters.
    pub(in crate::image) async fn remove(&mut self, l1: &[L1Entry], offset: HostOffset) -> Result<(), Error<S::Error>> {
        for (entry, at) in l1.iter().zip((0..).step_by(8)) {
            self.steps.step()?;
            if let Some(table) = self.table_of(*entry, offset.plus(at))? {
                for clusters in self.references_of(table).await? {
                    self.new.remove_references(clusters).await?;
                }
                self.unregister_table(table).await?;
            }
        }
        Ok(())
    }

    /// Leaves the tables of `l1`, read from `offset`, to a snapshot alone.
    pub(in crate::image) fn hand_over(&mut self, l1: &[L1Entry], offset: HostOffset) -> Result<(), Corrupt> {
        for (entry, at) in l1.iter().zip((0..).step_by(8)) {
            if let Some(table) = self.table_of(*entry, offset.plus(at))? {
                self.new.unregister_table(self.table_clusters(table));
            }
        }
        Ok(())
    }

    /// Returns L1 entries for a disk that shares everything with the disk of `l1`, read from `offset`.
    ///
    /// With `instead`, the other disk will use these entries too; otherwise it keeps its own.
    pub(in crate::image) async fn share(
        &mut self,
        l1: &[L1Entry],
        offset: HostOffset,
        instead: bool,
    ) -> Result<L1, Error<S::Error>> {
        let mut shared = Vec::with_capacity(l1.len());
        for (entry, at) in l1.iter().zip((0..).step_by(8)) {
            self.steps.step()?;
            let Some(old) = self.table_of(*entry, offset.plus(at))? else {
                shared.push(L1Entry(0));
                continue;
            };
            let table = self.rewritten(old, 0, Pass::Share).await?;
            if !table.changed {
                self.add_table(old).await?;
                shared.push(L1Entry::copied(old).with_copied(false));
                continue;
            }
            let new = self.new_table(table.bytes).await?;
            if instead {
                self.add_table(new).await?;
                self.unregister_table(old).await?;
            }
            shared.push(L1Entry::copied(new).with_copied(!instead));
        }
        Ok(shared)
    }

    /// Returns the entries of the first `keep` guest clusters of `l1`, read from `offset`, with COPIED flags by the
    /// current refcounts. The entries after them are dropped.
    pub(in crate::image) async fn with_copied_flags(
        &mut self,
        l1: &[L1Entry],
        offset: HostOffset,
        keep: u64,
    ) -> Result<L1, Error<S::Error>> {
        let mut copied = Vec::with_capacity(l1.len());
        let per_table = self.geometry().l2_entries();
        for (entry, index) in l1.iter().zip(0..) {
            self.steps.step()?;
            let Some(old) = self.table_of(*entry, offset.plus(index * L1_ENTRY_SIZE))? else {
                copied.push(L1Entry(0));
                continue;
            };
            let first = index * per_table;
            let table = self.rewritten(old, first, Pass::CopiedFlags { keep }).await?;
            // An empty table is dropped as well if it is after the end of the disk.
            if !table.changed && first < keep {
                let mut only = false;
                self.new.refcounts(self.table_clusters(old), |count| only = flag_for(count)).await?;
                self.new.register_table(self.table_clusters(old));
                copied.push(entry.with_copied(only));
                continue;
            }
            self.unregister_table(old).await?;
            copied.push(if table.in_use { L1Entry::copied(self.new_table(table.bytes).await?) } else { L1Entry(0) });
        }
        copied.truncate(self.l1_entries_for_clusters(keep));
        Ok(copied)
    }

    async fn new_table(&mut self, bytes: Vec<u8>) -> Result<HostOffset, Error<S::Error>> {
        let table = self.new.write_new(bytes).await?;
        self.new.register_table(self.table_clusters(table));
        Ok(table)
    }

    async fn add_table(&mut self, table: HostOffset) -> Result<(), Error<S::Error>> {
        self.new.register_table(self.table_clusters(table));
        self.new.add_references(self.table_clusters(table)).await
    }

    async fn unregister_table(&mut self, table: HostOffset) -> Result<(), Error<S::Error>> {
        // The tables that only snapshots use are not registered.
        self.new.unregister_table(self.table_clusters(table));
        self.new.remove_references(self.table_clusters(table)).await
    }

    fn table_clusters(&self, table: HostOffset) -> Range<u64> {
        let cluster = table.0 >> self.geometry().cluster_bits();
        cluster..cluster + 1
    }

    /// Returns the clusters that the entries of an L2 table refer to.
    async fn references_of(&self, table: HostOffset) -> Result<Vec<Range<u64>>, Error<S::Error>> {
        let mut references = Vec::new();
        for offset in self.slices_of(table) {
            let entries = self.entries(offset).await?;
            references.extend(self.counted(&entries)?);
        }
        Ok(references)
    }

    /// Returns an L2 table after `pass`; its first entry is that of guest cluster `first`.
    async fn rewritten(&self, table: HostOffset, first: u64, pass: Pass) -> Result<Table, Error<S::Error>> {
        let mut rewritten = Table::default();
        let mut first = first;
        for offset in self.slices_of(table) {
            let mut entries = self.entries(offset).await?;
            let count = entries.len() as u64;
            match pass {
                Pass::Share => self.share_entries(&mut entries).await?,
                Pass::CopiedFlags { keep } => self.set_copied_flags(&mut entries, keep.saturating_sub(first)).await?,
            }
            for entry in &entries {
                rewritten.push(entry, self.geometry());
            }
            first += count;
        }
        Ok(rewritten)
    }

    async fn share_entries(&self, entries: &mut [Entry]) -> Result<(), Error<S::Error>> {
        for clusters in self.counted(entries)? {
            self.new.add_references(clusters).await?;
        }
        entries.iter_mut().filter(|entry| entry.has_flag(self.rules)).for_each(|entry| entry.set_copied(false));
        Ok(())
    }

    /// Keeps the first `keep` entries.
    async fn set_copied_flags(&self, entries: &mut [Entry], keep: u64) -> Result<(), Error<S::Error>> {
        let (kept, dropped) = entries.split_at_mut(usize_of(keep).min(entries.len()));
        for clusters in self.counted(dropped)? {
            self.new.remove_references(clusters).await?;
        }
        dropped.iter_mut().for_each(Entry::clear);
        let flagged = || kept.iter().filter(|entry| entry.has_flag(self.rules));
        let mut counts = Vec::with_capacity(kept.len());
        for clusters in runs(flagged().map(|entry| entry.counted(self.rules))) {
            self.new.refcounts(clusters, |count| counts.push(count)).await?;
        }
        let flagged = kept.iter_mut().filter(|entry| entry.has_flag(self.rules));
        flagged.zip(counts).for_each(|(entry, count)| entry.set_copied(flag_for(count)));
        Ok(())
    }

    /// Returns the clusters that entries refer to. Fails if one is known to hold metadata, whose refcount must not
    /// change.
    fn counted(&self, entries: &[Entry]) -> Result<Vec<Range<u64>>, Corrupt> {
        let counted = runs(entries.iter().map(|entry| entry.counted(self.rules)));
        counted.iter().try_for_each(|clusters| self.new.check_data(clusters.clone()))?;
        Ok(counted)
    }

    fn slices_of(&self, table: HostOffset) -> impl Iterator<Item = HostOffset> + use<S> {
        (0..self.geometry().cluster_size()).step_by(self.file.tables.slice_size().bytes()).map(move |at| table.plus(at))
    }

    /// Returns the entries of the slice of an L2 table at `offset`.
    async fn entries(&self, offset: HostOffset) -> Result<Vec<Entry>, Error<S::Error>> {
        let slice = self.file.tables.slice(&self.file.files.image, offset).await?;
        let size = usize_of(self.geometry().l2_entry_size());
        let entry = |at: usize| {
            let bitmap = if self.geometry().extended_l2() { slice.word(at + 8) } else { 0 };
            let raw = L2Entry { word: slice.word(at), bitmap };
            let meaning = raw.decode(self.rules).map_err(|bad| bad.at(offset.plus(at as u64), raw))?;
            Ok(Entry { old: raw, raw, meaning })
        };
        (0..slice.len()).step_by(size).map(entry).collect()
    }
}

/// An L2 entry with its old value, its new value and its old meaning.
struct Entry {
    old: L2Entry,
    raw: L2Entry,
    meaning: Cluster,
}

impl Entry {
    fn counted(&self, rules: L2Rules) -> Range<u64> {
        self.meaning.counted(rules)
    }

    /// Whether the COPIED flag applies: there is a refcounted cluster that is not compressed.
    fn has_flag(&self, rules: L2Rules) -> bool {
        matches!(self.meaning, Cluster::Subclusters(_)) && !self.counted(rules).is_empty()
    }

    fn set_copied(&mut self, copied: bool) {
        self.raw = self.raw.with_copied(copied);
    }

    fn clear(&mut self) {
        self.raw = L2Entry { word: 0, bitmap: 0 };
    }
}

impl Table {
    fn push(&mut self, entry: &Entry, geometry: Geometry) {
        self.changed |= entry.raw != entry.old;
        self.in_use |= entry.raw != L2Entry { word: 0, bitmap: 0 };
        self.bytes.extend_from_slice(&entry.raw.word.to_be_bytes());
        if geometry.extended_l2() {
            self.bytes.extend_from_slice(&entry.raw.bitmap.to_be_bytes());
        }
    }
}

/// Merges contiguous clusters into ranges.
fn runs(clusters: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for next in clusters.filter(|clusters| !clusters.is_empty()) {
        match runs.last_mut() {
            Some(last) if last.end == next.start => last.end = next.end,
            _ => runs.push(next),
        }
    }
    runs
}
