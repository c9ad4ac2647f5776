//! Zeroing without data clusters, and discarding.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::disk::Disk;
use super::entry::Entry;
use super::step::LockedBy;
use super::wait::Wait;
use crate::error::Error;
use crate::format::geometry::Geometry;
use crate::format::l2::{BadL2Entry, Cluster, L2Entry, Subclusters};
use crate::format::units::{GuestOffset, HostOffset, usize_of};
use crate::image::Image;
use crate::storage::StorageMut;

/// The most entries that one step changes, so that it returns soon.
const MAX_ENTRIES: u64 = 512;
/// The most zero bytes written at once, if they have to be written as data.
const ZEROS: u64 = 256 << 10;

/// The way to zero or discard a range of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::image) enum Zeroing {
    /// Discards the contents: what is freed reads as zeros, and the rest may stay.
    Discard,
    /// Makes the range read as zeros; allocated clusters stay allocated.
    Zero,
    /// Makes the range read as zeros; allocated clusters are freed.
    ZeroAndUnmap,
}

/// The result of a step.
struct Done {
    /// The guest offset up to which the range is complete.
    end: u64,
    /// The parts that have to be written as zero data.
    literals: Vec<Range<u64>>,
}

/// The change of an L2 entry.
enum Outcome {
    /// The entry stays as it is.
    Same,
    /// The entry changes; the host cluster stays.
    Keep(L2Entry),
    /// The entry changes; the host cluster is freed.
    Free(L2Entry),
    /// The entry changes; the host cluster is leaked, because its offset is unknown.
    Leak(L2Entry),
    /// Zeros have to be written as data.
    Literal,
}

impl<S: StorageMut> Image<S> {
    /// Zeroes or discards `range`, which may be after the end of the disk.
    ///
    /// It works in steps, so that other tasks can run between them.
    pub(in crate::image) async fn zero_range(
        &self,
        disk: &Disk<'_, S>,
        range: Range<u64>,
        zeroing: Zeroing,
    ) -> Result<(), Error<S::Error>> {
        let mut at = range.start;
        while at < range.end {
            let step = || self.zero_step(disk, at..range.end, zeroing, LockedBy::Step);
            let Done { end, literals } = disk.complete(step).await?;
            if zeroing != Zeroing::Discard {
                for literal in literals {
                    self.write_literal_zeros(disk, literal).await?;
                }
            }
            disk.write_back_if_due().await?;
            disk.pause().await;
            at = end;
        }
        Ok(())
    }

    /// Changes the first entries of `range`, as many as one table slice holds.
    fn zero_step(
        &self,
        disk: &Disk<'_, S>,
        range: Range<u64>,
        zeroing: Zeroing,
        locked_by: LockedBy,
    ) -> Result<Done, Wait> {
        let (start, geometry) = (GuestOffset(range.start), disk.geometry());
        let run = disk.resolve(start, range.end - range.start)?;
        let clusters = disk.clusters(start, range.end - range.start);
        let covered = range.start..if range.end == self.size() { u64::MAX } else { range.end };
        let Some((first, _)) = run.l2_entry else {
            let end = range.start + run.length;
            // The last cluster may reach past the end of the disk, where the contents do not matter.
            let mask = covered_subclusters(geometry, disk.guest_offset(clusters.start), &covered);
            if mask == 0 {
                let end = range.end.min(disk.guest_offset(clusters.start + 1).0);
                return Ok(Done { end, literals: core::iter::once(range.start..end).collect() });
            }
            return match disk.outcome(&Entry::empty(), mask, zeroing) {
                Outcome::Same => Ok(Done { end, literals: Vec::new() }),
                Outcome::Literal => Ok(Done { end, literals: core::iter::once(range.start..end).collect() }),
                _ => Err(Wait::Tables(clusters.start..clusters.start + 1)),
            };
        };
        let count = usize_of((clusters.end - clusters.start).min(MAX_ENTRIES));
        let (image, tables) = (&disk.file.files.image, &disk.file.tables);
        let raw = tables.l2_entries(image.id(), first, count)?;
        let clusters = clusters.start..clusters.start + raw.len() as u64;
        let _held = match locked_by {
            LockedBy::Caller => None,
            LockedBy::Step => {
                let held = disk.writeback.cluster_locks.try_lock(&clusters);
                Some(held.ok_or_else(|| Wait::Guest(clusters.clone()))?)
            }
        };
        let guard = disk.writeback.lock.try_acquire().ok_or(Wait::Metadata)?;
        let mut done = Done { end: range.end.min(disk.guest_offset(clusters.end).0), literals: Vec::new() };
        for (cluster, (raw, index)) in clusters.clone().zip(raw.into_iter().zip(0..)) {
            let guest = disk.guest_offset(cluster);
            let mask = covered_subclusters(geometry, guest, &covered);
            let offset = first.plus(index * geometry.l2_entry_size());
            let (outcome, old) = disk.outcome_of(offset, raw, mask, zeroing)?;
            let new = match outcome {
                Outcome::Same => None,
                Outcome::Keep(new) | Outcome::Free(new) | Outcome::Leak(new) => Some(new),
                Outcome::Literal => {
                    let end_of_cluster = guest.plus(geometry.cluster_size()).0;
                    done.literals.push(guest.0.max(range.start)..end_of_cluster.min(range.end));
                    continue;
                }
            };
            if let Some(new) = new {
                if !run.l2_table_copied {
                    // Nothing has changed yet: all entries are in the same table.
                    drop(guard);
                    return Err(Wait::Tables(clusters));
                }
                disk.writeback.set_l2_entry(image.id(), offset, new)?;
            }
            if let (Outcome::Free(_), Some(old)) = (outcome, old) {
                disk.free_cluster(&old);
            }
            push_uncovered(geometry, guest, mask, &range, &mut done.literals);
        }
        Ok(done)
    }

    /// Zeroes a part of the disk that setting entries alone cannot zero.
    async fn write_literal_zeros(&self, disk: &Disk<'_, S>, range: Range<u64>) -> Result<(), Error<S::Error>> {
        let header = disk.file.header();
        let zeros = vec![0; usize_of(ZEROS.min(range.end - range.start))];
        let mut at = range.start;
        while at < range.end {
            // Stop at a multiple, so that a crash between two writes does not split a sector.
            let length = (range.end - at).min(ZEROS - at % ZEROS);
            let part = zeros.get(..usize_of(length)).unwrap_or(&zeros);
            let must_hold_data = header.is_data_file_raw() || at >= self.size();
            if must_hold_data || !self.mark_zeros_around(disk, at..at + length).await? {
                self.write_steps(disk, GuestOffset(at), part).await?;
            }
            disk.pause().await;
            at += length;
        }
        Ok(())
    }

    /// Marks the subclusters that `range` touches as zero if all of them read as zeros. Returns whether they do.
    async fn mark_zeros_around(&self, disk: &Disk<'_, S>, range: Range<u64>) -> Result<bool, Error<S::Error>> {
        let geometry = disk.geometry();
        // While the clusters are locked, no other change allocates them, so no request writes data to them.
        let clusters = disk.clusters(GuestOffset(range.start), range.end - range.start);
        let _held = disk.writeback.cluster_locks.lock(clusters).await;
        let subcluster = 1 << geometry.subcluster_bits();
        let start = range.start & !(subcluster - 1);
        let end = range.end.next_multiple_of(subcluster).min(self.size());
        if !self.is_zero(GuestOffset(start), usize_of(end - start)).await? {
            return Ok(false);
        }
        if !disk.file.header().is_version_3() {
            return Ok(true);
        }
        self.mark_zeros(disk, start..end).await?;
        Ok(true)
    }

    /// Sets the zero bits of the entries of `range`, which are whole subclusters without data. The caller has locked
    /// its guest clusters.
    pub(in crate::image) async fn mark_zeros(
        &self,
        disk: &Disk<'_, S>,
        range: Range<u64>,
    ) -> Result<(), Error<S::Error>> {
        let mut at = range.start;
        while at < range.end {
            at = disk.complete(|| self.zero_step(disk, at..range.end, Zeroing::Zero, LockedBy::Caller)).await?.end;
            disk.write_back_if_due().await?;
        }
        Ok(())
    }
}

impl<S: StorageMut> Disk<'_, S> {
    /// Returns the change of the entry `raw` at host offset `offset`, and the decoded entry if it is valid.
    fn outcome_of(
        &self,
        offset: HostOffset,
        raw: L2Entry,
        mask: u32,
        zeroing: Zeroing,
    ) -> Result<(Outcome, Option<Entry>), Wait> {
        let all = u32::MAX >> (32 - self.geometry().subclusters());
        match raw.decode(self.file.tables.rules()) {
            Ok(meaning) => {
                let entry = Entry { offset, raw, meaning, copied: raw.is_copied() };
                Ok((self.outcome(&entry, mask, zeroing), Some(entry)))
            }
            // As QEMU does: the cluster that the entry points to is leaked.
            Err(BadL2Entry::Unaligned(_)) if mask == all => Ok((Outcome::Leak(self.without_cluster()), None)),
            Err(bad) => Err(bad.at(offset, raw).into()),
        }
    }

    /// Returns the change of `entry` when `zeroing` applies to the subclusters in `mask`.
    fn outcome(&self, entry: &Entry, mask: u32, zeroing: Zeroing) -> Outcome {
        let geometry = self.geometry();
        let all = u32::MAX >> (32 - geometry.subclusters());
        let header = self.file.header();
        // The recorded backing file counts, even if the image was opened without it.
        let has_backing = header.raw().has_backing_file();
        if mask == 0 {
            return Outcome::Same;
        }
        if header.is_data_file_raw() || !header.is_version_3() && has_backing {
            // A raw data file must hold the zeros itself. Version 2 has no zero flag, so with a backing file it needs
            // zero data.
            return if zeroing == Zeroing::Discard { Outcome::Same } else { Outcome::Literal };
        }
        let Subclusters { host, allocated, zero } = match entry.meaning {
            Cluster::Compressed(_) if mask == all => return Outcome::Free(self.without_cluster()),
            Cluster::Compressed(_) if zeroing == Zeroing::Discard => return Outcome::Same,
            Cluster::Compressed(_) => return Outcome::Literal,
            Cluster::Subclusters(subclusters) => subclusters,
        };
        // Zeros that are written are recorded as zeros even if the range reads as zeros already: a backing file may be
        // recorded later. A discard of an unallocated range need not be recorded.
        let is_recorded = allocated & mask == 0 && (zero & mask == mask || !header.is_version_3());
        let nothing_to_discard = allocated & mask == 0 && !has_backing && zeroing == Zeroing::Discard;
        match zeroing {
            Zeroing::Discard | Zeroing::ZeroAndUnmap if mask == all && host.is_some() => {
                Outcome::Free(self.without_cluster())
            }
            _ if is_recorded || nothing_to_discard => Outcome::Same,
            Zeroing::Zero | Zeroing::ZeroAndUnmap if !header.is_version_3() => Outcome::Literal,
            _ => Outcome::Keep(entry.raw.remasked(allocated & !mask, zero | mask, geometry)),
        }
    }

    /// Returns the entry of a cluster that reads as zeros and has no host cluster.
    fn without_cluster(&self) -> L2Entry {
        let all = u32::MAX >> (32 - self.geometry().subclusters());
        L2Entry::without_cluster(if self.file.header().is_version_3() { all } else { 0 }, self.geometry())
    }
}

impl Entry {
    fn empty() -> Self {
        let meaning = Cluster::Subclusters(Subclusters { host: None, allocated: 0, zero: 0 });
        Self { offset: HostOffset(0), raw: L2Entry { word: 0, bitmap: 0 }, meaning, copied: false }
    }
}

/// The subclusters of the cluster at `start` that are completely in `covered`.
fn covered_subclusters(geometry: Geometry, start: GuestOffset, covered: &Range<u64>) -> u32 {
    let size = 1 << geometry.subcluster_bits();
    (0..geometry.subclusters())
        .filter(|index| {
            let start = start.0 + u64::from(*index) * size;
            covered.start <= start && start + size <= covered.end
        })
        .fold(0, |mask, index| mask | 1 << index)
}

/// Adds the parts of `range` in the cluster at `start` that `mask` does not cover.
fn push_uncovered(
    geometry: Geometry,
    start: GuestOffset,
    mask: u32,
    range: &Range<u64>,
    literals: &mut Vec<Range<u64>>,
) {
    let size = 1 << geometry.subcluster_bits();
    for index in (0..geometry.subclusters()).filter(|index| mask >> index & 1 == 0) {
        let begin = start.0 + u64::from(index) * size;
        let part = begin.max(range.start)..(begin + size).min(range.end);
        match literals.last_mut() {
            _ if part.is_empty() => {}
            Some(last) if last.end == part.start => last.end = part.end,
            _ => literals.push(part),
        }
    }
}
