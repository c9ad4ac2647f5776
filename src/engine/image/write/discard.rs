//! Zeros without data, and giving clusters back.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::change::{Disk, Entry};
use crate::error::Error;
use crate::format::geometry::Geometry;
use crate::format::l2::{Cluster, L2Entry, Subclusters};
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::read::check_range;
use crate::storage::StorageMut;

/// How many entries are changed under one hold.
const MAX_ENTRIES: u64 = 512;
/// How many zeros are written at once where nothing else will do.
const ZEROS: usize = 256 << 10;

/// What becomes of a part of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Its contents don't matter any more; it reads as zeros where anything changes.
    Discard,
    /// It reads as zeros; what is allocated stays allocated.
    Zero,
    /// It reads as zeros; what is allocated is given back.
    ZeroAndUnmap,
}

/// What a change makes of an entry.
enum Outcome {
    /// Nothing.
    Same,
    /// This one; the cluster stays.
    Keep(L2Entry),
    /// This one; the cluster is given up.
    Free(L2Entry),
    /// Zeros have to be written as data.
    Literal,
}

impl<S: StorageMut> Image<S> {
    /// Gives back the clusters that lie wholly in the `length` bytes at `offset`: what they held is gone, and reads as
    /// zeros, never as what a backing file holds there. Parts of clusters are left as they are.
    ///
    /// In an image of version 2 with a backing file, and in one with a raw data file, nothing can be given back.
    pub async fn discard(&self, offset: u64, length: u64) -> Result<(), Error<S::Error>> {
        let disk = Disk::enter(self).await?;
        check_range(offset, length, self.size())?;
        let result = self.change_entries(&disk, offset, length, Change::Discard).await;
        disk.conclude(result).await?;
        Ok(())
    }

    /// Makes the `length` bytes at `offset` read as zeros; with `unmap`, whole clusters are given back.
    pub async fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> Result<(), Error<S::Error>> {
        let disk = Disk::enter(self).await?;
        check_range(offset, length, self.size())?;
        let change = if unmap { Change::ZeroAndUnmap } else { Change::Zero };
        let result = self.zero(&disk, offset, length, change).await;
        disk.conclude(result).await
    }

    async fn zero(&self, disk: &Disk<'_, S>, offset: u64, length: u64, change: Change) -> Result<(), Error<S::Error>> {
        for literal in self.change_entries(disk, offset, length, change).await? {
            self.write_literal_zeros(disk, literal).await?;
        }
        Ok(())
    }

    /// Makes a range behind the disk read as zeros.
    pub(in crate::image) async fn zero_behind(
        &self,
        disk: &Disk<'_, S>,
        range: Range<u64>,
    ) -> Result<(), Error<S::Error>> {
        self.zero(disk, range.start, range.end - range.start, Change::Zero).await
    }

    /// Changes the entries of the range; what of it has to be written as data.
    async fn change_entries(
        &self,
        disk: &Disk<'_, S>,
        offset: u64,
        length: u64,
        change: Change,
    ) -> Result<Vec<Range<u64>>, Error<S::Error>> {
        let mut literals = Vec::new();
        if length == 0 {
            return Ok(literals);
        }
        let end = offset + length;
        // The last cluster may reach past the end of the disk: what is there doesn't matter.
        let covered = offset..if end == self.size() { u64::MAX } else { end };
        let clusters = disk.clusters(GuestOffset(offset), length);
        let mut first = clusters.start;
        while first < clusters.end {
            let chunk = first..clusters.end.min(first + MAX_ENTRIES);
            let _held = disk.writeback.in_flight.hold(chunk.clone()).await;
            let request = disk.writeback.requests.begin();
            let entries = disk.entries(chunk.clone()).await?;
            drop(request);
            let guard = disk.writeback.lock.acquire().await;
            for (cluster, entry) in chunk.clone().zip(&entries) {
                let start = disk.guest_offset(cluster);
                let mask = covered_subclusters(disk.geometry(), start, &covered);
                match outcome(disk, entry, mask, change) {
                    Outcome::Same => {}
                    Outcome::Keep(new) => disk.set_entry(cluster, new).await?,
                    Outcome::Free(new) => {
                        disk.set_entry(cluster, new).await?;
                        disk.free_cluster(entry);
                    }
                    Outcome::Literal => {
                        let end_of_cluster = start.plus(disk.geometry().cluster_size()).0;
                        literals.push(start.0.max(offset)..end_of_cluster.min(end));
                        continue;
                    }
                }
                push_uncovered(disk.geometry(), start, mask, &(offset..end), &mut literals);
            }
            disk.writeback.relieve(&disk.file.files).await?;
            drop(guard);
            first = chunk.end;
        }
        Ok(literals)
    }

    async fn write_literal_zeros(&self, disk: &Disk<'_, S>, range: Range<u64>) -> Result<(), Error<S::Error>> {
        let zeros = vec![0; ZEROS.min(usize::try_from(range.end - range.start).unwrap_or(ZEROS))];
        let mut at = range.start;
        while at < range.end {
            // Up to a multiple, so that a crash between two of them doesn't come between two parts of a sector.
            let length = (range.end - at).min(ZEROS as u64 - at % ZEROS as u64);
            let part = zeros.get(..usize::try_from(length).unwrap_or(zeros.len())).unwrap_or(&zeros);
            let is_behind = at >= self.size();
            if is_behind || self.top.header().is_data_file_raw() || !self.is_zero(GuestOffset(at), part.len()).await? {
                self.write_parts(disk, GuestOffset(at), part).await?;
            }
            at += length;
        }
        Ok(())
    }
}

/// What `change` makes of the subclusters in `mask`.
fn outcome<S: StorageMut>(disk: &Disk<'_, S>, entry: &Entry, mask: u32, change: Change) -> Outcome {
    let geometry = disk.geometry();
    let all = u32::MAX >> (32 - geometry.subclusters());
    let header = disk.file.header();
    // Whether or not the image was opened with it.
    let has_backing = header.raw().has_backing_file();
    if mask == 0 {
        return Outcome::Same;
    }
    if header.is_data_file_raw() || !header.is_version_3() && has_backing {
        // A raw data file must hold the zeros itself; version 2 has no zeros but those under the last file.
        return if change == Change::Discard { Outcome::Same } else { Outcome::Literal };
    }
    let without_cluster = L2Entry::without_cluster(if header.is_version_3() { all } else { 0 }, geometry);
    let Subclusters { host, allocated, zero } = match entry.meaning {
        Cluster::Compressed(_) if mask == all => return Outcome::Free(without_cluster),
        Cluster::Compressed(_) if change == Change::Discard => return Outcome::Same,
        Cluster::Compressed(_) => return Outcome::Literal,
        Cluster::Subclusters(subclusters) => subclusters,
    };
    let reads_as_zeros = allocated & mask == 0 && (!has_backing || zero & mask == mask);
    match change {
        Change::Discard | Change::ZeroAndUnmap if mask == all && host.is_some() => Outcome::Free(without_cluster),
        _ if reads_as_zeros => Outcome::Same,
        Change::Zero if !header.is_version_3() => Outcome::Literal,
        _ => Outcome::Keep(entry.raw.remasked(allocated & !mask, zero | mask, geometry)),
    }
}

/// The subclusters of the cluster at `start` that lie wholly in `covered`.
fn covered_subclusters(geometry: Geometry, start: GuestOffset, covered: &Range<u64>) -> u32 {
    let size = 1 << geometry.subcluster_bits();
    (0..geometry.subclusters())
        .filter(|index| {
            let start = start.0 + u64::from(*index) * size;
            covered.start <= start && start + size <= covered.end
        })
        .fold(0, |mask, index| mask | 1 << index)
}

/// Adds the parts of `range` in the cluster at `start` that `mask` doesn't cover.
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
