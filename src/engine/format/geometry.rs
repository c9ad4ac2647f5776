//! All shifts and masks of guest offsets and table indexes.

use super::units::GuestOffset;

/// The smallest and the largest cluster: 512 bytes to 2 MiB.
pub(crate) const CLUSTER_BITS: core::ops::RangeInclusive<u32> = 9..=21;

/// Extended L2 entries split a cluster into 32 subclusters, each of 512 bytes or more.
const SUBCLUSTERS_BITS: u32 = 5;
const MIN_SUBCLUSTER_BITS: u32 = 9;

/// The cluster size and the kind of L2 entries: the parameters of all address calculations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    cluster_bits: u32,
    extended_l2: bool,
}

impl Geometry {
    /// Returns `None` if the cluster size is out of range, or too small for extended L2 entries.
    pub(crate) fn new(cluster_bits: u32, extended_l2: bool) -> Option<Self> {
        let large_enough = !extended_l2 || cluster_bits >= SUBCLUSTERS_BITS + MIN_SUBCLUSTER_BITS;
        (CLUSTER_BITS.contains(&cluster_bits) && large_enough).then_some(Self { cluster_bits, extended_l2 })
    }

    pub(crate) fn cluster_bits(self) -> u32 {
        self.cluster_bits
    }

    pub(crate) fn extended_l2(self) -> bool {
        self.extended_l2
    }

    pub(crate) fn cluster_size(self) -> u64 {
        1 << self.cluster_bits
    }

    pub(crate) fn is_cluster_aligned(self, offset: u64) -> bool {
        offset & (self.cluster_size() - 1) == 0
    }

    pub(crate) fn offset_in_cluster(self, offset: GuestOffset) -> u64 {
        offset.0 & (self.cluster_size() - 1)
    }

    /// Returns the bytes of an L2 entry: 8, or 16 with the subcluster bitmap.
    pub(crate) fn l2_entry_size(self) -> u64 {
        1 << self.l2_entry_bits()
    }

    pub(crate) fn l2_entries(self) -> u64 {
        1 << self.l2_index_bits()
    }

    /// Returns the number of guest bytes that an L2 table maps: at most 2^39.
    pub(crate) fn l2_coverage(self) -> u64 {
        1 << self.l2_coverage_bits()
    }

    pub(crate) fn l1_index(self, offset: GuestOffset) -> u64 {
        offset.0 >> self.l2_coverage_bits()
    }

    pub(crate) fn l2_index(self, offset: GuestOffset) -> u64 {
        (offset.0 >> self.cluster_bits) & (self.l2_entries() - 1)
    }

    /// Returns how many L1 entries a disk of `size` bytes needs.
    pub(crate) fn l1_entries_for(self, size: u64) -> u64 {
        size.div_ceil(self.l2_coverage())
    }

    /// Returns the offset of the VM state of a disk of `size` bytes: at the first L2 table after the disk.
    pub(crate) fn vm_state_offset(self, size: u64) -> GuestOffset {
        GuestOffset(self.l1_entries_for(size).saturating_mul(self.l2_coverage()))
    }

    /// Returns the subclusters per cluster: 1, or 32 with extended L2 entries.
    pub(crate) fn subclusters(self) -> u32 {
        1 << self.subclusters_bits()
    }

    pub(crate) fn subcluster_bits(self) -> u32 {
        self.cluster_bits - self.subclusters_bits()
    }

    /// Returns the index of the subcluster within its cluster: 0 to 31.
    pub(crate) fn subcluster_index(self, offset: GuestOffset) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "less than the number of subclusters")]
        let index = (self.offset_in_cluster(offset) >> self.subcluster_bits()) as u32;
        index
    }

    /// Returns how many bits of a compressed cluster descriptor hold the offset. The sector count is above them.
    pub(crate) fn compressed_offset_bits(self) -> u32 {
        70 - self.cluster_bits
    }

    fn l2_entry_bits(self) -> u32 {
        if self.extended_l2 { 4 } else { 3 }
    }

    fn l2_index_bits(self) -> u32 {
        self.cluster_bits - self.l2_entry_bits()
    }

    fn l2_coverage_bits(self) -> u32 {
        self.cluster_bits + self.l2_index_bits()
    }

    fn subclusters_bits(self) -> u32 {
        if self.extended_l2 { SUBCLUSTERS_BITS } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_clusters_out_of_range() {
        assert!(Geometry::new(8, false).is_none());
        assert!(Geometry::new(22, false).is_none());
        assert!(Geometry::new(13, true).is_none(), "subclusters of 256 bytes");
        assert!(Geometry::new(14, true).is_some());
    }

    #[test]
    fn default_clusters_map_half_a_gibibyte_a_table() {
        let geometry = Geometry::new(16, false).expect("64 KiB is in range");
        assert_eq!(geometry.l2_coverage(), 512 << 20);
        assert_eq!(geometry.l1_entries_for(0), 0);
        assert_eq!(geometry.l1_entries_for((512 << 20) + 1), 2);
        assert_eq!(geometry.vm_state_offset(1), GuestOffset(512 << 20));
        assert_eq!(geometry.compressed_offset_bits(), 54);
    }

    #[test]
    fn extended_entries_halve_a_table_and_split_a_cluster() {
        let geometry = Geometry::new(16, true).expect("64 KiB is in range");
        assert_eq!(geometry.l2_coverage(), 256 << 20);
        assert_eq!(geometry.subcluster_bits(), 11);
        assert_eq!(geometry.subcluster_index(GuestOffset((1 << 16) + 2048 * 31)), 31);
    }
}
