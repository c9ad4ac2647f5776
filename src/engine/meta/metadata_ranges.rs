//! Where the metadata of a file are, so that nothing else is ever written there.
//!
//! In a sound image the reference counts alone see to that. In a damaged one a count may be too low, or an entry may
//! point to a table; then the write is refused before it does more damage, as QEMU's overlap check does.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use crate::error::Corrupt;

/// Metadata is a few clusters in ten thousand: with so many groups nearly every question is answered by one word.
const GROUPS: u64 = 1 << 16;

/// The host clusters of the header, the tables of the mapping and of the counts, and the snapshots' L1 tables.
pub(crate) struct MetadataRanges {
    /// Where areas begin and end; no two overlap, or touch. An image may claim areas of any size: they take no more memory
    /// than small ones.
    bounds: RefCell<BTreeSet<u64>>,
    /// A bit for each group of clusters, those of one number modulo [`GROUPS`]: clear where none of them is, or ever was,
    /// in an area.
    groups: Box<[Cell<u64>]>,
}

impl Default for MetadataRanges {
    fn default() -> Self {
        Self { bounds: RefCell::default(), groups: (0..GROUPS / 64).map(|_| Cell::new(0)).collect() }
    }
}

impl MetadataRanges {
    pub(crate) fn add(&self, clusters: Range<u64>) {
        for cluster in clusters.start..clusters.end.min(clusters.start.saturating_add(GROUPS)) {
            let (word, bit) = self.group(cluster);
            word.set(word.get() | bit);
        }
        self.set(clusters, true);
    }

    pub(crate) fn remove(&self, clusters: Range<u64>) {
        self.set(clusters, false);
    }

    /// As [`MetadataRanges::add`]. Fails where one of `clusters`, of 2^`cluster_bits` bytes, holds other metadata already.
    pub(crate) fn claim(&self, clusters: Range<u64>, cluster_bits: u32) -> Result<(), Corrupt> {
        self.check(clusters.clone(), cluster_bits)?;
        self.add(clusters);
        Ok(())
    }

    /// Fails where one of `clusters`, of 2^`cluster_bits` bytes, is to hold something else.
    #[inline]
    pub(crate) fn check(&self, mut clusters: Range<u64>, cluster_bits: u32) -> Result<(), Corrupt> {
        match clusters.find(|cluster| self.may_contain(*cluster)) {
            Some(first) => self.check_areas(first..clusters.end, cluster_bits),
            None => Ok(()),
        }
    }

    #[cold]
    fn check_areas(&self, mut clusters: Range<u64>, cluster_bits: u32) -> Result<(), Corrupt> {
        match clusters.find(|cluster| self.contains(*cluster)) {
            Some(cluster) => Err(Corrupt::Overlap { offset: cluster << cluster_bits }),
            None => Ok(()),
        }
    }

    fn contains(&self, cluster: u64) -> bool {
        self.may_contain(cluster) && self.is_in_area(cluster)
    }

    /// Whether another cluster of its group is or was in an area, or it is itself.
    fn may_contain(&self, cluster: u64) -> bool {
        let (word, bit) = self.group(cluster);
        word.get() & bit != 0
    }

    fn is_in_area(&self, cluster: u64) -> bool {
        self.bounds
            .borrow()
            .range(..=bound(cluster, Side::End))
            .next_back()
            .is_some_and(|last| last & 1 == Side::Start as u64)
    }

    /// Makes `clusters` a part of an area, or of none.
    fn set(&self, Range { start, end }: Range<u64>, in_area: bool) {
        if start >= end {
            return;
        }
        let before = start.checked_sub(1).is_some_and(|cluster| self.is_in_area(cluster));
        let behind = self.is_in_area(end);
        let mut bounds = self.bounds.borrow_mut();
        while let Some(within) = bounds.range(bound(start, Side::Start)..=bound(end, Side::End)).next().copied() {
            bounds.remove(&within);
        }
        if before != in_area {
            bounds.insert(bound(start, if in_area { Side::Start } else { Side::End }));
        }
        if behind != in_area {
            bounds.insert(bound(end, if in_area { Side::End } else { Side::Start }));
        }
    }

    /// The word and the bit of its group.
    fn group(&self, cluster: u64) -> (&Cell<u64>, u64) {
        let group = cluster % GROUPS;
        // Less than the number of groups, which a usize has room for.
        (&self.groups[usize::try_from(group / 64).unwrap_or(0)], 1 << (group % 64))
    }
}

/// Which bound of an area it is.
#[derive(Clone, Copy)]
enum Side {
    Start = 0,
    End = 1,
}

/// The place of a bound, and its side in the bit that no cluster's number needs: a file has at most 2^55 of them.
fn bound(cluster: u64, side: Side) -> u64 {
    cluster << 1 | side as u64
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn areas(metadata_ranges: &MetadataRanges) -> Vec<(u64, u64)> {
        let bounds: Vec<u64> = metadata_ranges.bounds.borrow().iter().map(|bound| bound >> 1).collect();
        bounds.as_chunks::<2>().0.iter().map(|[start, end]| (*start, *end)).collect()
    }

    #[test]
    fn areas_that_touch_are_one() {
        let metadata_ranges = MetadataRanges::default();
        for area in [10..20, 30..40, 20..25, 50..50, 39..45, 5..6, 24..31] {
            metadata_ranges.add(area);
        }
        assert_eq!(areas(&metadata_ranges), [(5, 6), (10, 45)]);
    }

    #[test]
    fn what_is_removed_leaves_the_rest() {
        let metadata_ranges = MetadataRanges::default();
        metadata_ranges.add(10..20);
        metadata_ranges.add(30..40);
        metadata_ranges.remove(12..14);
        metadata_ranges.remove(18..33);
        metadata_ranges.remove(39..50);
        metadata_ranges.remove(0..10);
        assert_eq!(areas(&metadata_ranges), [(10, 12), (14, 18), (33, 39)]);
        let held: Vec<u64> = (0..50).filter(|cluster| metadata_ranges.contains(*cluster)).collect();
        assert_eq!(held, [10..12, 14..18, 33..39].into_iter().flatten().collect::<Vec<_>>());
    }

    #[test]
    fn an_area_of_all_there_can_be() {
        let metadata_ranges = MetadataRanges::default();
        metadata_ranges.add(7..1 << 55);
        assert!(!metadata_ranges.contains(6) && metadata_ranges.contains(7) && metadata_ranges.contains((1 << 55) - 1));
    }
}
