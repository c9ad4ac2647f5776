//! The clusters that hold metadata, so that nothing else is ever written there.
//!
//! In a sound image the refcounts alone ensure that. In a corrupt image a refcount may be too low, or an entry may point to
//! a table. Then the write is refused before it does more damage, as QEMU's overlap check does.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use crate::error::Corrupt;

/// Metadata takes a few clusters in ten thousand. With this many groups, nearly every check reads only one word.
const GROUPS: u64 = 1 << 16;

/// The host clusters of the header, the mapping tables, the refcount structures, and the snapshots' L1 tables.
pub(crate) struct MetadataRanges {
    /// The bounds of the ranges. No two ranges overlap or touch.
    ///
    /// An image may claim ranges of any size, and a large range takes no more memory than a small one.
    bounds: RefCell<BTreeSet<u64>>,
    /// One bit per group of clusters with the same number modulo [`GROUPS`]. A clear bit means that no cluster of the group
    /// is, or ever was, in a range.
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

    /// Adds `clusters`, of 2^`cluster_bits` bytes each. Fails if one of them holds other metadata already.
    pub(crate) fn claim(&self, clusters: Range<u64>, cluster_bits: u32) -> Result<(), Corrupt> {
        self.check(clusters.clone(), cluster_bits)?;
        self.add(clusters);
        Ok(())
    }

    /// Fails if one of `clusters`, of 2^`cluster_bits` bytes each, holds metadata.
    #[inline]
    pub(crate) fn check(&self, mut clusters: Range<u64>, cluster_bits: u32) -> Result<(), Corrupt> {
        match clusters.find(|cluster| self.may_contain(*cluster)) {
            Some(first) => self.check_ranges(first..clusters.end, cluster_bits),
            None => Ok(()),
        }
    }

    #[cold]
    fn check_ranges(&self, mut clusters: Range<u64>, cluster_bits: u32) -> Result<(), Corrupt> {
        match clusters.find(|cluster| self.contains(*cluster)) {
            Some(cluster) => Err(Corrupt::Overlap { offset: cluster << cluster_bits }),
            None => Ok(()),
        }
    }

    fn contains(&self, cluster: u64) -> bool {
        self.may_contain(cluster) && self.is_in_range(cluster)
    }

    /// Returns whether any cluster of its group is or was in a range.
    fn may_contain(&self, cluster: u64) -> bool {
        let (word, bit) = self.group(cluster);
        word.get() & bit != 0
    }

    fn is_in_range(&self, cluster: u64) -> bool {
        self.bounds
            .borrow()
            .range(..=bound(cluster, Side::End))
            .next_back()
            .is_some_and(|last| last & 1 == Side::Start as u64)
    }

    /// Adds `clusters` to the ranges, or removes them.
    fn set(&self, Range { start, end }: Range<u64>, in_range: bool) {
        if start >= end {
            return;
        }
        let before = start.checked_sub(1).is_some_and(|cluster| self.is_in_range(cluster));
        let after = self.is_in_range(end);
        let mut bounds = self.bounds.borrow_mut();
        while let Some(within) = bounds.range(bound(start, Side::Start)..=bound(end, Side::End)).next().copied() {
            bounds.remove(&within);
        }
        if before != in_range {
            bounds.insert(bound(start, if in_range { Side::Start } else { Side::End }));
        }
        if after != in_range {
            bounds.insert(bound(end, if in_range { Side::End } else { Side::Start }));
        }
    }

    /// Returns the word and the bit of the cluster's group.
    fn group(&self, cluster: u64) -> (&Cell<u64>, u64) {
        let group = cluster % GROUPS;
        // Less than the number of groups, which a usize has room for.
        (&self.groups[usize::try_from(group / 64).unwrap_or(0)], 1 << (group % 64))
    }
}

/// The side of a range that a bound is on.
#[derive(Clone, Copy)]
enum Side {
    Start = 0,
    End = 1,
}

/// Encodes a bound with its side in the lowest bit. A file has at most 2^55 clusters, so the shift loses nothing.
fn bound(cluster: u64, side: Side) -> u64 {
    cluster << 1 | side as u64
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn ranges_of(metadata_ranges: &MetadataRanges) -> Vec<(u64, u64)> {
        let bounds: Vec<u64> = metadata_ranges.bounds.borrow().iter().map(|bound| bound >> 1).collect();
        bounds.as_chunks::<2>().0.iter().map(|[start, end]| (*start, *end)).collect()
    }

    #[test]
    fn ranges_that_touch_are_merged() {
        let metadata_ranges = MetadataRanges::default();
        for range in [10..20, 30..40, 20..25, 50..50, 39..45, 5..6, 24..31] {
            metadata_ranges.add(range);
        }
        assert_eq!(ranges_of(&metadata_ranges), [(5, 6), (10, 45)]);
    }

    #[test]
    fn removing_clusters_keeps_the_others() {
        let metadata_ranges = MetadataRanges::default();
        metadata_ranges.add(10..20);
        metadata_ranges.add(30..40);
        metadata_ranges.remove(12..14);
        metadata_ranges.remove(18..33);
        metadata_ranges.remove(39..50);
        metadata_ranges.remove(0..10);
        assert_eq!(ranges_of(&metadata_ranges), [(10, 12), (14, 18), (33, 39)]);
        let contained: Vec<u64> = (0..50).filter(|cluster| metadata_ranges.contains(*cluster)).collect();
        assert_eq!(contained, [10..12, 14..18, 33..39].into_iter().flatten().collect::<Vec<_>>());
    }

    #[test]
    fn a_range_may_reach_the_last_possible_cluster() {
        let metadata_ranges = MetadataRanges::default();
        metadata_ranges.add(7..1 << 55);
        assert!(!metadata_ranges.contains(6) && metadata_ranges.contains(7) && metadata_ranges.contains((1 << 55) - 1));
    }
}
