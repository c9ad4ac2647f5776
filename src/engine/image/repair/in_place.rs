//! Mending counts and flags where they are.

use alloc::vec::Vec;

use super::refcounts::Counter;
use crate::error::Error;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry};
use crate::format::l2_corruption::Target;
use crate::format::units::HostOffset;
use crate::image::check::refcounts::{BlockPlace, CountedOnce, StoredCounts};
use crate::image::check::snapshots::SnapshotTables;
use crate::image::check::subject::Subject;
use crate::image::check::walk::entries;
use crate::storage::StorageMut;

/// How many clusters' flags are mended in one walk: 32 MiB of bits.
const FLAGS_AT_ONCE: u64 = 1 << 28;

/// Which counts are mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// Those that are too high.
    TooHigh,
    All,
}

/// Sets counts to what the references say, block by block: a crash leaves some of them as they were. The refcount
/// structure must be sound otherwise.
pub(super) async fn mend_counts<S: StorageMut>(subject: &Subject<'_, S>, which: Counts) -> Result<(), Error<S::Error>> {
    let snapshots = SnapshotTables::read(subject).await?;
    let mut counter = Counter::new(subject, &snapshots);
    let mut counts = StoredCounts::read(subject).await?;
    let limit = subject.clusters() + 1;
    // What is counted behind the end of the file is no leak, as in a check: a broken entry may take its flag from it.
    let is_checked = |cluster, references| cluster < subject.clusters() || references > 0;
    let mut next = Some(0);
    while let Some(start) = next {
        let references = counter.count(start).await?;
        for index in 0..counts.len() {
            if let BlockPlace::At(block) = counts.place(subject, index) {
                let cluster = subject.cluster_of(block);
                references.add(cluster..cluster + 1);
            }
        }
        let window = references.window();
        for index in counts.index_of(window.start)..=counts.index_of(window.end - 1) {
            let BlockPlace::At(place) = counts.place(subject, index) else { continue };
            counts.load(subject, index, place).await?;
            let clusters = counts.clusters_of(index);
            let clusters = clusters.start.max(window.start)..clusters.end.min(window.end);
            let max = counts.width().max();
            let wrong: Vec<_> = counts
                .of_held_block(clusters)
                .map(|(cluster, count)| (cluster, count, counter.references().count(cluster).min(max)))
                .filter(|(cluster, _, references)| is_checked(*cluster, *references))
                .filter(|(_, count, references)| count > references || (which == Counts::All && count < references))
                .map(|(cluster, _, references)| (cluster, references))
                .collect();
            if let Some((place, bytes)) = counts.set(subject, index, &wrong) {
                subject.file.write(place, &bytes).await.map_err(Error::Storage)?;
            }
        }
        let block = counts.next_counted(window.end);
        next = [counter.references().next(), block].into_iter().flatten().filter(|cluster| *cluster < limit).min();
    }
    subject.file.flush().await.map_err(Error::Storage)
}

/// Takes the COPIED flag from the entries of the active disk that have it and shouldn't, by the references: an entry must
/// not say that its cluster is its own where it isn't, whatever the counts.
pub(super) async fn take_flags<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    let snapshots = SnapshotTables::read(subject).await?;
    let mut counter = Counter::new(subject, &snapshots);
    let mut next = Some(0);
    while let Some(start) = next {
        let references = counter.count(start).await?;
        let window = references.window();
        let is_shared = |cluster| window.contains(&cluster) && references.count(cluster) > 1;
        mend_flags_in(subject, |place| is_shared(subject.cluster_of(place)).then_some(false)).await?;
        next = references.next();
    }
    subject.file.flush().await.map_err(Error::Storage)
}

/// Sets the COPIED flags of the active disk to what the counts say.
pub(super) async fn mend_flags<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    let mut counts = StoredCounts::read(subject).await?;
    let limit = subject.clusters() + 1;
    let mut start = 0;
    while start < limit {
        let window = start..limit.min(start + FLAGS_AT_ONCE);
        start = window.end;
        let once = CountedOnce::read(subject, &mut counts, window).await?;
        mend_flags_in(subject, |place| once.is_counted_once(subject.cluster_of(place))).await?;
    }
    subject.file.flush().await.map_err(Error::Storage)
}

/// Sets the flags of the entries of which `is_copied` knows what they should be.
async fn mend_flags_in<S: StorageMut>(
    subject: &Subject<'_, S>,
    is_copied: impl Fn(HostOffset) -> Option<bool>,
) -> Result<(), Error<S::Error>> {
    let l1 = subject.active_l1();
    let mut table = subject.cluster_buffer();
    let mut word = [0; 8];
    for index in 0..l1.entries.min(subject.bytes_from(l1.offset) / L1_ENTRY_SIZE) {
        let place = l1.offset.plus(index * L1_ENTRY_SIZE);
        subject.fill(place, &mut word).await?;
        let entry = L1Entry(u64::from_be_bytes(word));
        let offset = entry.offset();
        if offset.0 == 0 || !subject.geometry.is_cluster_aligned(offset.0) {
            continue;
        }
        if let Some(owned) = is_copied(offset).filter(|owned| *owned != entry.is_copied()) {
            let bytes = entry.with_copied(owned).0.to_be_bytes();
            subject.file.write(place, &bytes).await.map_err(Error::Storage)?;
        }
        subject.fill(offset, &mut table).await?;
        mend_flags_of_table(subject, offset, &mut table, &is_copied).await?;
    }
    Ok(())
}

async fn mend_flags_of_table<S: StorageMut>(
    subject: &Subject<'_, S>,
    offset: HostOffset,
    table: &mut [u8],
    is_copied: impl Fn(HostOffset) -> Option<bool>,
) -> Result<(), Error<S::Error>> {
    let rules = subject.rules();
    let mut wrong = Vec::new();
    for (place, entry) in entries(table, offset, rules.geometry.extended_l2()) {
        let Target::Cluster(cluster) = entry.examine(rules, |_| {}) else { continue };
        // A data file counts nothing: every cluster of it is the entry's own.
        let owned = if rules.data_file { Some(true) } else { is_copied(cluster) };
        if let Some(owned) = owned.filter(|owned| *owned != entry.has_copied_flag()) {
            wrong.push((place, entry.with_copied(owned)));
        }
    }
    let (Some((first, _)), Some((last, _))) = (wrong.first().copied(), wrong.last().copied()) else { return Ok(()) };
    let size = if rules.geometry.extended_l2() { 16 } else { 8 };
    let at = |place: HostOffset| usize::try_from(place.0 - offset.0).unwrap_or(usize::MAX);
    for (place, entry) in wrong {
        if let Some(slot) = table.get_mut(at(place)..at(place).saturating_add(size)) {
            entry.to_bytes(slot);
        }
    }
    let changed = table.get(at(first)..at(last).saturating_add(size)).unwrap_or_default();
    subject.file.write(first, changed).await.map_err(Error::Storage)
}
