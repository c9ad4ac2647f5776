//! Where the metadata of a file are, so that nothing else is ever written there.
//!
//! In a sound image the reference counts alone see to that. In a damaged one a count may be too low, or an entry may
//! point to a table; then the write is refused before it does more damage, as QEMU's overlap check does.

use core::cell::RefCell;
use core::ops::Range;

use hashbrown::HashSet;

use crate::error::Corrupt;

/// The host clusters of the header, the tables of the mapping and of the counts, and the snapshots' L1 tables.
#[derive(Default)]
pub(crate) struct Occupied {
    clusters: RefCell<HashSet<u64>>,
}

impl Occupied {
    pub(crate) fn add(&self, clusters: impl IntoIterator<Item = u64>) {
        self.clusters.borrow_mut().extend(clusters);
    }

    pub(crate) fn remove(&self, clusters: impl IntoIterator<Item = u64>) {
        let mut occupied = self.clusters.borrow_mut();
        for cluster in clusters {
            occupied.remove(&cluster);
        }
    }

    /// Fails where one of `clusters`, of 2^`cluster_bits` bytes, is to hold something else.
    pub(crate) fn check(&self, mut clusters: Range<u64>, cluster_bits: u32) -> Result<(), Corrupt> {
        let occupied = self.clusters.borrow();
        match clusters.find(|cluster| occupied.contains(cluster)) {
            Some(cluster) => Err(Corrupt::Overlap { offset: cluster << cluster_bits }),
            None => Ok(()),
        }
    }
}
