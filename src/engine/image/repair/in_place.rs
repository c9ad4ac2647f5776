//! Repairing refcounts and COPIED flags in place.

use alloc::vec::Vec;

use super::refcounts::Counter;
use crate::error::Error;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry};
use crate::format::l2_corruption::Target;
use crate::format::units::HostOffset;
use crate::image::check::refcounts::{BlockLocation, SingleRefcounts, StoredRefcounts};
use crate::image::check::snapshots::SnapshotTables;
use crate::image::check::subject::Subject;
use crate::image::check::walk::entries;
use crate::storage::StorageMut;

/// How many clusters' flags are repaired in one walk: 32 MiB of bits.
const FLAGS_PER_WALK: u64 = 1 << 28;

/// The refcounts to repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Only those that are too high.
    TooHigh,
    All,
}

/// Sets refcounts to the numbers of references, block by block. After a crash, some of them are unchanged. Otherwise,
/// the refcount structure must be valid.
pub(super) async fn repair_refcounts<S: StorageMut>(
    subject: &Subject<'_, S>,
    which: Which,
) -> Result<(), Error<S::Error>> {
    let snapshots = SnapshotTables::read(subject).await?;
    let mut counter = Counter::new(subject, &snapshots);
    let mut refcounts = StoredRefcounts::read(subject).await?;
    let limit = subject.clusters() + 1;
    // As in a check, a nonzero refcount after the end of the file is no leak: the COPIED flag of a corrupt entry may
    // depend on it.
    let is_checked = |cluster, references| cluster < subject.clusters() || references > 0;
    let mut next = Some(0);
    while let Some(start) = next {
        let references = counter.count(start).await?;
        for index in 0..refcounts.len() {
            if let BlockLocation::At(block) = refcounts.block_location(subject, index) {
                let cluster = subject.cluster_of(block);
                references.add(cluster..cluster + 1);
            }
        }
        let window = references.window();
        for index in refcounts.index_of(window.start)..=refcounts.index_of(window.end - 1) {
            let BlockLocation::At(block) = refcounts.block_location(subject, index) else { continue };
            refcounts.load(subject, index, block).await?;
            let clusters = refcounts.clusters_of(index);
            let clusters = clusters.start.max(window.start)..clusters.end.min(window.end);
            let max = refcounts.width().max();
            let wrong: Vec<_> = refcounts
                .of_loaded_block(clusters)
                .map(|(cluster, count)| (cluster, count, counter.references().count(cluster).min(max)))
                .filter(|(cluster, _, references)| is_checked(*cluster, *references))
                .filter(|(_, count, references)| count > references || (which == Which::All && count < references))
                .map(|(cluster, _, references)| (cluster, references))
                .collect();
            if let Some((offset, bytes)) = refcounts.set(subject, index, &wrong) {
                subject.file.write(offset, &bytes).await.map_err(Error::Storage)?;
            }
        }
        let block = refcounts.next_counted(window.end);
        next = [counter.references().next(), block].into_iter().flatten().filter(|cluster| *cluster < limit).min();
    }
    subject.file.flush().await.map_err(Error::Storage)
}

/// Clears the COPIED flags of the active disk on clusters with several references, whatever the refcounts: no entry may
/// claim a cluster as its own that is shared.
pub(super) async fn clear_shared_flags<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    let snapshots = SnapshotTables::read(subject).await?;
    let mut counter = Counter::new(subject, &snapshots);
    let mut next = Some(0);
    while let Some(start) = next {
        let references = counter.count(start).await?;
        let window = references.window();
        let is_shared = |cluster| window.contains(&cluster) && references.count(cluster) > 1;
        repair_flags_by(subject, |offset| is_shared(subject.cluster_of(offset)).then_some(false)).await?;
        next = references.next();
    }
    subject.file.flush().await.map_err(Error::Storage)
}

/// Sets the COPIED flags of the active disk by the refcounts.
pub(super) async fn repair_flags<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    let mut refcounts = StoredRefcounts::read(subject).await?;
    let limit = subject.clusters() + 1;
    let mut start = 0;
    while start < limit {
        let window = start..limit.min(start + FLAGS_PER_WALK);
        start = window.end;
        let once = SingleRefcounts::read(subject, &mut refcounts, window).await?;
        repair_flags_by(subject, |offset| once.is_single(subject.cluster_of(offset))).await?;
    }
    subject.file.flush().await.map_err(Error::Storage)
}

/// Sets the COPIED flags of the entries for which `is_copied` returns a value.
async fn repair_flags_by<S: StorageMut>(
    subject: &Subject<'_, S>,
    is_copied: impl Fn(HostOffset) -> Option<bool>,
) -> Result<(), Error<S::Error>> {
    let l1 = subject.active_l1();
    let mut table = subject.cluster_buffer();
    let mut word = [0; 8];
    for index in 0..l1.entries.min(subject.bytes_from(l1.offset) / L1_ENTRY_SIZE) {
        let entry_offset = l1.offset.plus(index * L1_ENTRY_SIZE);
        subject.read_zero_padded(entry_offset, &mut word).await?;
        let entry = L1Entry(u64::from_be_bytes(word));
        let table_offset = entry.offset();
        if table_offset.0 == 0 || !subject.geometry.is_cluster_aligned(table_offset.0) {
            continue;
        }
        if let Some(copied) = is_copied(table_offset).filter(|copied| *copied != entry.is_copied()) {
            let bytes = entry.with_copied(copied).0.to_be_bytes();
            subject.file.write(entry_offset, &bytes).await.map_err(Error::Storage)?;
        }
        subject.read_zero_padded(table_offset, &mut table).await?;
        repair_flags_of_table(subject, table_offset, &mut table, &is_copied).await?;
    }
    Ok(())
}

async fn repair_flags_of_table<S: StorageMut>(
    subject: &Subject<'_, S>,
    table_offset: HostOffset,
    table: &mut [u8],
    is_copied: impl Fn(HostOffset) -> Option<bool>,
) -> Result<(), Error<S::Error>> {
    let rules = subject.rules();
    let mut wrong = Vec::new();
    for (offset, entry) in entries(table, table_offset, rules.geometry.extended_l2()) {
        let Target::Cluster(cluster) = entry.examine(rules, |_| {}) else { continue };
        // A data file has no refcounts: every cluster of it belongs to its entry alone.
        let copied = if rules.data_file { Some(true) } else { is_copied(cluster) };
        if let Some(copied) = copied.filter(|copied| *copied != entry.has_copied_flag()) {
            wrong.push((offset, entry.with_copied(copied)));
        }
    }
    let (Some((first, _)), Some((last, _))) = (wrong.first().copied(), wrong.last().copied()) else { return Ok(()) };
    let size = if rules.geometry.extended_l2() { 16 } else { 8 };
    let at = |offset: HostOffset| usize::try_from(offset.0 - table_offset.0).unwrap_or(usize::MAX);
    for (offset, entry) in wrong {
        if let Some(slot) = table.get_mut(at(offset)..at(offset).saturating_add(size)) {
            entry.to_bytes(slot);
        }
    }
    let changed = table.get(at(first)..at(last).saturating_add(size)).unwrap_or_default();
    subject.file.write(first, changed).await.map_err(Error::Storage)
}
