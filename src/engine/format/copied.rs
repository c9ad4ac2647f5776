//! The COPIED rule.
//!
//! Bit 63 of an L1 or L2 entry, the COPIED flag, means that the cluster that the entry points to has a refcount of exactly
//! one. Nothing else refers to that cluster, so it may be changed in place. The flag is exact only in the tables that are
//! reachable from the active L1 table. The L1 tables of snapshots don't have it. Entries of compressed clusters never have
//! it, because several compressed clusters share a host cluster.
//!
//! A guest cluster can be written in place only if the flag is set *at every level*. An L2 table that is shared with a
//! snapshot still has entries with the flag, from before the snapshot.

use super::l1::L1Entry;
use super::l2::L2Entry;

/// Returns whether the guest cluster that the two entries map may be written in place.
#[inline]
pub(crate) fn is_copied(l1_entry: L1Entry, l2_entry: L2Entry) -> bool {
    l1_entry.is_copied() && l2_entry.is_copied()
}

/// Returns whether the active entry that points to a cluster with this refcount has the flag.
pub(crate) fn flag_for(refcount: u64) -> bool {
    refcount == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shared_level_forbids_writing_in_place() {
        let (l1, l2) = (L1Entry(1 << 63 | 0x1_0000), L2Entry { word: 1 << 63 | 0x2_0000, bitmap: 0 });
        assert!(is_copied(l1, l2));
        assert!(!is_copied(l1.with_copied(false), l2));
        assert!(!is_copied(l1, l2.with_copied(false)));
        let compressed = L2Entry { word: l2.word | 1 << 62, ..l2 };
        assert!(!is_copied(l1, compressed));
    }
}
