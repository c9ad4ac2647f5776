//! Where the metadata of a file are, so that nothing else is ever written there.
//!
//! In a sound image the reference counts alone see to that. In a damaged one a count may be too low, or an entry may
//! point to a table; then the write is refused before it does more damage, as QEMU's overlap check does.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use crate::error::Corrupt;

/// Metadata is a few clusters in ten thousand: with so many groups nearly every question is answered by one word.
const GROUPS: u64 = 1 << 16;

/// The host clusters of the header, the tables of the mapping and of the counts, and the snapshots' L1 tables.
pub(crate) struct Occupied {
    /// Where each area begins, and where it ends; no two overlap. An image may claim areas of any size: they take no
    /// more memory than small ones.
    areas: RefCell<BTreeMap<u64, u64>>,
    /// A bit for each group of clusters, those of one number modulo [`GROUPS`]: clear where none of them is, or ever was,
    /// in an area.
    groups: Box<[Cell<u64>]>,
}

impl Default for Occupied {
    fn default() -> Self {
        Self { areas: RefCell::default(), groups: (0..GROUPS / 64).map(|_| Cell::new(0)).collect() }
    }
}

impl Occupied {
    pub(crate) fn add(&self, Range { mut start, mut end }: Range<u64>) {
        if start >= end {
            return;
        }
        for cluster in start..end.min(start.saturating_add(GROUPS)) {
            let (word, bit) = self.group(cluster);
            word.set(word.get() | bit);
        }
        let mut areas = self.areas.borrow_mut();
        while let Some((first, last)) = last_before(&areas, end.saturating_add(1)).filter(|(_, last)| *last >= start) {
            areas.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        areas.insert(start, end);
    }

    pub(crate) fn remove(&self, Range { start, end }: Range<u64>) {
        let mut areas = self.areas.borrow_mut();
        while let Some((first, last)) = last_before(&areas, end).filter(|(_, last)| *last > start) {
            areas.remove(&first);
            if first < start {
                areas.insert(first, start);
            }
            if end < last {
                areas.insert(end, last);
            }
        }
    }

    /// As [`Occupied::add`]. Fails where one of `clusters`, of 2^`cluster_bits` bytes, holds other metadata already.
    pub(crate) fn claim(&self, clusters: Range<u64>, cluster_bits: u32) -> Result<(), Corrupt> {
        self.check(clusters.clone(), cluster_bits)?;
        self.add(clusters);
        Ok(())
    }

    /// Fails where one of `clusters`, of 2^`cluster_bits` bytes, is to hold something else.
    pub(crate) fn check(&self, mut clusters: Range<u64>, cluster_bits: u32) -> Result<(), Corrupt> {
        match clusters.find(|cluster| self.contains(*cluster)) {
            Some(cluster) => Err(Corrupt::Overlap { offset: cluster << cluster_bits }),
            None => Ok(()),
        }
    }

    fn contains(&self, cluster: u64) -> bool {
        let (word, bit) = self.group(cluster);
        let is_in_area = || last_before(&self.areas.borrow(), cluster + 1).is_some_and(|(_, end)| cluster < end);
        word.get() & bit != 0 && is_in_area()
    }

    /// The word and the bit of its group.
    fn group(&self, cluster: u64) -> (&Cell<u64>, u64) {
        let group = cluster % GROUPS;
        // Less than the number of groups, which a usize has room for.
        (&self.groups[usize::try_from(group / 64).unwrap_or(0)], 1 << (group % 64))
    }
}

/// The last area that begins before `cluster`.
fn last_before(areas: &BTreeMap<u64, u64>, cluster: u64) -> Option<(u64, u64)> {
    areas.range(..cluster).next_back().map(|(start, end)| (*start, *end))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn areas(occupied: &Occupied) -> Vec<(u64, u64)> {
        occupied.areas.borrow().iter().map(|(start, end)| (*start, *end)).collect()
    }

    #[test]
    fn areas_that_touch_are_one() {
        let occupied = Occupied::default();
        for area in [10..20, 30..40, 20..25, 50..50, 39..45, 5..6, 24..31] {
            occupied.add(area);
        }
        assert_eq!(areas(&occupied), [(5, 6), (10, 45)]);
    }

    #[test]
    fn what_is_removed_leaves_the_rest() {
        let occupied = Occupied::default();
        occupied.add(10..20);
        occupied.add(30..40);
        occupied.remove(12..14);
        occupied.remove(18..33);
        occupied.remove(39..50);
        occupied.remove(0..10);
        assert_eq!(areas(&occupied), [(10, 12), (14, 18), (33, 39)]);
        let held: Vec<u64> = (0..50).filter(|cluster| occupied.contains(*cluster)).collect();
        assert_eq!(held, [10..12, 14..18, 33..39].into_iter().flatten().collect::<Vec<_>>());
    }

    #[test]
    fn an_area_of_all_there_can_be() {
        let occupied = Occupied::default();
        occupied.add(7..u64::MAX);
        assert!(!occupied.contains(6) && occupied.contains(7) && occupied.contains(1 << 60));
    }
}
