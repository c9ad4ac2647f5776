//! Where the metadata of a file are, so that nothing else is ever written there.
//!
//! In a sound image the reference counts alone see to that. In a damaged one a count may be too low, or an entry may
//! point to a table; then the write is refused before it does more damage, as QEMU's overlap check does.

use alloc::boxed::Box;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use hashbrown::HashSet;

use crate::error::Corrupt;

/// Metadata is a few clusters in ten thousand: with so many groups nearly every question is answered by one word.
const GROUPS: u64 = 1 << 16;

/// The host clusters of the header, the tables of the mapping and of the counts, and the snapshots' L1 tables.
pub(crate) struct Occupied {
    clusters: RefCell<HashSet<u64>>,
    /// A bit for each group of clusters, those of one number modulo [`GROUPS`]: clear where none of them is, or ever was,
    /// among `clusters`.
    groups: Box<[Cell<u64>]>,
}

impl Default for Occupied {
    fn default() -> Self {
        Self { clusters: RefCell::default(), groups: (0..GROUPS / 64).map(|_| Cell::new(0)).collect() }
    }
}

impl Occupied {
    pub(crate) fn add(&self, clusters: impl IntoIterator<Item = u64>) {
        let mut occupied = self.clusters.borrow_mut();
        for cluster in clusters {
            let (word, bit) = self.group(cluster);
            word.set(word.get() | bit);
            occupied.insert(cluster);
        }
    }

    pub(crate) fn remove(&self, clusters: impl IntoIterator<Item = u64>) {
        let mut occupied = self.clusters.borrow_mut();
        for cluster in clusters {
            occupied.remove(&cluster);
        }
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
        word.get() & bit != 0 && self.clusters.borrow().contains(&cluster)
    }

    /// The word and the bit of its group.
    fn group(&self, cluster: u64) -> (&Cell<u64>, u64) {
        let group = cluster % GROUPS;
        // Less than the number of groups, which a usize has room for.
        (&self.groups[usize::try_from(group / 64).unwrap_or(0)], 1 << (group % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_of_one_group_are_told_apart() {
        let occupied = Occupied::default();
        occupied.add([7, 7 + 2 * GROUPS]);
        assert!(occupied.check(0..7, 16).is_ok());
        assert_eq!(occupied.check(0..8, 16), Err(Corrupt::Overlap { offset: 7 << 16 }));
        assert!(occupied.check(7 + GROUPS..8 + GROUPS, 16).is_ok());
        occupied.remove([7]);
        assert!(occupied.check(0..8, 16).is_ok());
        assert!(occupied.check(7 + 2 * GROUPS..8 + 2 * GROUPS, 16).is_err());
    }
}
