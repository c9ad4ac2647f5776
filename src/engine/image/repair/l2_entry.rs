//! Repairing an L2 entry.

use crate::format::l2::{L2Entry, L2Rules};
use crate::format::l2_corruption::{L2Corruption, Target};

/// The limits of what a repair may change.
#[derive(Clone, Copy, Debug)]
pub(in crate::image) struct Policy {
    /// Whether entries that cannot be read may be replaced with zeros.
    pub(in crate::image) accept_loss: bool,
    /// Whether the image becomes version 2, which has no zero flag.
    pub(in crate::image) without_zero_flags: bool,
    pub(in crate::image) has_backing_file: bool,
}

/// The repair of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repaired {
    /// The new or unchanged entry.
    Entry(L2Entry),
    /// A cluster of zeros, because the version has no zero flags.
    ZeroCluster,
}

/// Returns the repaired `entry`. `reaches_past_end`: its clusters are not completely within the file.
pub(super) fn repaired(entry: L2Entry, rules: L2Rules, policy: Policy, reaches_past_end: bool) -> Repaired {
    let mut problems = Problems::default();
    let target = entry.examine(rules, |corruption| problems.add(corruption));
    if problems.is_lost || (reaches_past_end && entry.is_compressed()) {
        // It cannot be read, and any replacement is a guess.
        let is_there = !reaches_past_end || rules.data_file;
        return if policy.accept_loss {
            lost(entry, rules, problems, policy, is_there)
        } else {
            Repaired::Entry(entry)
        };
    }
    let clean = entry.without_reserved_bits();
    // A data file may be of any length.
    let reaches_past_end = reaches_past_end && !rules.data_file;
    if matches!(target, Target::Cluster(_)) && (problems.unaligned_zero || reaches_past_end) {
        // It reads as zeros, or as the backing file if no subcluster is allocated.
        return zeros(clean, rules, policy);
    }
    if policy.without_zero_flags && !clean.is_compressed() && clean.has_zero_flag() {
        return zeros(clean, rules, policy);
    }
    Repaired::Entry(clean)
}

/// What is wrong with an entry, as far as it matters here.
#[derive(Clone, Copy, Default)]
struct Problems {
    is_lost: bool,
    both: bool,
    unaligned_zero: bool,
}

impl Problems {
    fn add(&mut self, corruption: L2Corruption) {
        match corruption {
            L2Corruption::Reserved | L2Corruption::CompressedCopied | L2Corruption::CompressedBitmap => {}
            L2Corruption::UnalignedZero => self.unaligned_zero = true,
            L2Corruption::Subclusters => (self.is_lost, self.both) = (true, true),
            L2Corruption::CompressedWithDataFile
            | L2Corruption::ZeroInVersion2
            | L2Corruption::SubclustersWithoutCluster
            | L2Corruption::UnalignedData => self.is_lost = true,
        }
    }
}

fn lost(entry: L2Entry, rules: L2Rules, problems: Problems, policy: Policy, is_there: bool) -> Repaired {
    let clean = entry.without_reserved_bits();
    if problems.both && is_there && rules.geometry.is_cluster_aligned(clean.offset().0) {
        // The data exists, so it is kept rather than the zero bits.
        return Repaired::Entry(clean.without_zeros_where_allocated());
    }
    let plain = if entry.is_compressed() { L2Entry { word: 0, bitmap: u64::from(u32::MAX) } } else { clean };
    zeros(plain, rules, policy)
}

fn zeros(entry: L2Entry, rules: L2Rules, policy: Policy) -> Repaired {
    if rules.zero_flag && !policy.without_zero_flags {
        Repaired::Entry(entry.as_zeros(rules.geometry))
    } else if policy.has_backing_file {
        Repaired::ZeroCluster
    } else {
        Repaired::Entry(L2Entry { word: 0, bitmap: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::geometry::Geometry;

    const HOST: u64 = 5 << 16;

    fn rules(extended: bool, version_3: bool) -> L2Rules {
        let geometry = Geometry::new(16, extended).expect("in range");
        L2Rules { geometry, zero_flag: version_3, data_file: false }
    }

    const CAREFUL: Policy = Policy { accept_loss: false, without_zero_flags: false, has_backing_file: false };
    const LOSSY: Policy = Policy { accept_loss: true, ..CAREFUL };

    fn entry(word: u64, bitmap: u64) -> L2Entry {
        L2Entry { word, bitmap }
    }

    #[test]
    fn readable_data_is_kept() {
        let data = entry(HOST | 2, 0);
        assert_eq!(repaired(data, rules(false, true), CAREFUL, false), Repaired::Entry(entry(HOST, 0)));
        let past_end = repaired(entry(HOST, 0), rules(false, true), CAREFUL, true);
        assert_eq!(past_end, Repaired::Entry(entry(1, 0)), "it read as zeros");
        let part = repaired(entry(HOST + 512, 1 << 32), rules(true, true), CAREFUL, false);
        assert_eq!(part, Repaired::Entry(entry(0, 1 << 32)));
        let compressed = entry(1 << 63 | 1 << 62 | HOST, 7);
        assert_eq!(repaired(compressed, rules(true, true), CAREFUL, false), Repaired::Entry(entry(1 << 62 | HOST, 0)));
    }

    #[test]
    fn lost_data_is_dropped_only_if_accepted() {
        let lost = entry(HOST + 512, 0);
        assert_eq!(repaired(lost, rules(false, true), CAREFUL, false), Repaired::Entry(lost));
        assert_eq!(repaired(lost, rules(false, true), LOSSY, false), Repaired::Entry(entry(1, 0)));
        let both = entry(HOST, 3 << 32 | 1);
        assert_eq!(repaired(both, rules(true, true), LOSSY, false), Repaired::Entry(entry(HOST, 2 << 32 | 1)));
        assert_eq!(repaired(both, rules(true, true), LOSSY, true), Repaired::Entry(entry(0, 3 << 32)));
    }

    #[test]
    fn zeros_without_zero_flags() {
        let backed = Policy { has_backing_file: true, ..CAREFUL };
        assert_eq!(repaired(entry(HOST, 0), rules(false, false), backed, true), Repaired::ZeroCluster);
        assert_eq!(repaired(entry(HOST, 0), rules(false, false), CAREFUL, true), Repaired::Entry(entry(0, 0)));
        let down = Policy { without_zero_flags: true, ..backed };
        assert_eq!(repaired(entry(HOST | 1, 0), rules(false, true), down, false), Repaired::ZeroCluster);
        assert_eq!(repaired(entry(HOST, 0), rules(false, true), down, false), Repaired::Entry(entry(HOST, 0)));
    }
}
