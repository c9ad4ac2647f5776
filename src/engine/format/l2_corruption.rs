//! Finds corruption in an L2 entry itself, apart from the cluster that it refers to.

use super::l2::{CompressedSpan, L2Entry, L2Rules};
use super::units::HostOffset;

/// A rule that an L2 entry breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum L2Corruption {
    /// Reserved bits are set. Readers ignore them.
    Reserved,
    /// The COPIED flag of a compressed cluster. Readers ignore it.
    CompressedCopied,
    /// A subcluster bitmap of a compressed cluster. Readers ignore it.
    CompressedBitmap,
    /// A compressed cluster in an image with an external data file.
    CompressedWithDataFile,
    /// The zero flag in version 2, which doesn't have it.
    ZeroInVersion2,
    /// A subcluster that is both allocated and zero.
    Subclusters,
    /// Subclusters that are allocated without a host cluster.
    SubclustersWithoutCluster,
    /// The cluster doesn't begin at a multiple of the cluster size, and has no data.
    UnalignedZero,
    /// The cluster doesn't begin at a multiple of the cluster size, and has data.
    UnalignedData,
}

/// The target of an entry for the computation of refcounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Nothing,
    Compressed(CompressedSpan),
    /// A host cluster with data, or preallocated. It may be unaligned.
    Cluster(HostOffset),
}

impl L2Entry {
    const STANDARD_RESERVED: u64 = 0x3f00_0000_0000_01fe;

    /// Returns the target by the rules of `qemu-img check`, and calls `corruption` for each rule that the entry breaks.
    pub(crate) fn examine(self, rules: L2Rules, corruption: impl FnMut(L2Corruption)) -> Target {
        if self.is_compressed() {
            self.examine_compressed(rules, corruption)
        } else {
            self.examine_standard(rules, corruption)
        }
    }

    fn examine_compressed(self, rules: L2Rules, mut corruption: impl FnMut(L2Corruption)) -> Target {
        if self.has_copied_flag() {
            corruption(L2Corruption::CompressedCopied);
        }
        if rules.data_file {
            corruption(L2Corruption::CompressedWithDataFile);
            return Target::Nothing;
        }
        if self.bitmap != 0 {
            // Like QEMU, this counts no reference before the entry is repaired.
            corruption(L2Corruption::CompressedBitmap);
            return Target::Nothing;
        }
        Target::Compressed(self.compressed_span(rules.geometry))
    }

    fn examine_standard(self, rules: L2Rules, mut corruption: impl FnMut(L2Corruption)) -> Target {
        let extended = rules.geometry.extended_l2();
        if self.word & Self::STANDARD_RESERVED != 0 {
            corruption(L2Corruption::Reserved);
        }
        let zero_flag = self.has_zero_flag() && !extended;
        if zero_flag && !rules.zero_flag {
            corruption(L2Corruption::ZeroInVersion2);
        }
        let offset = self.offset();
        let (zero, allocated) = (self.bitmap >> 32, self.bitmap & u64::from(u32::MAX));
        if offset.0 == 0 && (zero_flag || !(rules.data_file && self.has_copied_flag())) {
            if allocated != 0 {
                corruption(L2Corruption::SubclustersWithoutCluster);
            }
            return Target::Nothing;
        }
        if zero & allocated != 0 {
            corruption(L2Corruption::Subclusters);
        }
        if !rules.geometry.is_cluster_aligned(offset.0) {
            let has_data = if extended { allocated != 0 } else { !zero_flag };
            corruption(if has_data { L2Corruption::UnalignedData } else { L2Corruption::UnalignedZero });
        }
        Target::Cluster(offset)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::format::geometry::Geometry;

    const COPIED: u64 = 1 << 63;
    const COMPRESSED: u64 = 1 << 62;
    const HOST: u64 = 5 << 16;

    fn examine(word: u64, bitmap: u64, rules: L2Rules) -> (Target, Vec<L2Corruption>) {
        let mut corruptions = Vec::new();
        let target = L2Entry { word, bitmap }.examine(rules, |corruption| corruptions.push(corruption));
        (target, corruptions)
    }

    fn rules(extended: bool) -> L2Rules {
        L2Rules { geometry: Geometry::new(16, extended).expect("in range"), zero_flag: true, data_file: false }
    }

    #[test]
    fn a_sound_entry_has_no_corruption() {
        let cluster = Target::Cluster(HostOffset(HOST));
        assert_eq!(examine(HOST | COPIED, 0, rules(false)), (cluster, Vec::new()));
        assert_eq!(examine(HOST | 1, 0, rules(false)), (cluster, Vec::new()));
        assert_eq!(examine(1, 0, rules(false)), (Target::Nothing, Vec::new()));
        assert_eq!(examine(HOST, 0xff << 32 | 0xff00, rules(true)), (cluster, Vec::new()));
    }

    #[test]
    fn each_corruption_is_reported_by_its_kind() {
        let version_2 = L2Rules { zero_flag: false, ..rules(false) };
        let data_file = L2Rules { data_file: true, ..rules(false) };
        let corruptions = |word, bitmap, rules| examine(word, bitmap, rules).1;
        assert_eq!(corruptions(HOST | 2, 0, rules(false)), [L2Corruption::Reserved]);
        assert_eq!(corruptions(COMPRESSED | COPIED | HOST, 0, rules(false)), [L2Corruption::CompressedCopied]);
        assert_eq!(corruptions(COMPRESSED | HOST, 1, rules(true)), [L2Corruption::CompressedBitmap]);
        assert_eq!(corruptions(COMPRESSED | HOST, 0, data_file), [L2Corruption::CompressedWithDataFile]);
        assert_eq!(corruptions(1, 0, version_2), [L2Corruption::ZeroInVersion2]);
        assert_eq!(corruptions(HOST, 1 << 32 | 1, rules(true)), [L2Corruption::Subclusters]);
        assert_eq!(corruptions(0, 1, rules(true)), [L2Corruption::SubclustersWithoutCluster]);
        assert_eq!(corruptions(HOST + 512 + 1, 0, rules(false)), [L2Corruption::UnalignedZero]);
        assert_eq!(corruptions(HOST + 512, 1 << 32, rules(true)), [L2Corruption::UnalignedZero]);
        assert_eq!(corruptions(HOST + 512, 0, rules(false)), [L2Corruption::UnalignedData]);
    }

    #[test]
    fn a_data_file_has_a_cluster_at_0() {
        let data_file = L2Rules { data_file: true, ..rules(false) };
        assert_eq!(examine(COPIED, 0, data_file).0, Target::Cluster(HostOffset(0)));
        assert_eq!(examine(COPIED | 1, 0, data_file).0, Target::Nothing);
        assert_eq!(examine(COPIED, 0, rules(false)).0, Target::Nothing);
    }
}
