//! The header fields that point to the tables.

use core::ops::Range;

use crate::format::geometry::Geometry;
use crate::format::l1::L1Table;
use crate::format::units::HostOffset;

/// The header fields that point to the tables, and the size of the disk.
///
/// These are the bytes 24 to 71. They are in one sector, so one write changes all of them or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TablePointers {
    pub(crate) size: u64,
    pub(crate) crypt_method: u32,
    pub(crate) l1: L1Table,
    pub(crate) refcount_table: HostOffset,
    pub(crate) refcount_table_clusters: u32,
    pub(crate) nb_snapshots: u32,
    pub(crate) snapshots: HostOffset,
}

impl TablePointers {
    /// Returns the bytes from [`field::SIZE`](crate::field::SIZE).
    pub(crate) fn to_bytes(self) -> [u8; 48] {
        let fields = [
            self.size,
            u64::from(self.crypt_method) << 32 | u64::from(self.l1_entries()),
            self.l1.offset.0,
            self.refcount_table.0,
            u64::from(self.refcount_table_clusters) << 32 | u64::from(self.nb_snapshots),
            self.snapshots.0,
        ];
        let mut bytes = [0; 48];
        for (position, field) in bytes.chunks_exact_mut(8).zip(fields) {
            position.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// Returns the clusters of the refcount table.
    pub(crate) fn refcount_table_range(self, geometry: Geometry) -> Range<u64> {
        let first = self.refcount_table.0 >> geometry.cluster_bits();
        first..first + u64::from(self.refcount_table_clusters)
    }

    /// Returns the number of L1 entries: at most [`MAX_L1_ENTRIES`](crate::format::l1::MAX_L1_ENTRIES).
    pub(in crate::format) fn l1_entries(self) -> u32 {
        u32::try_from(self.l1.entries).unwrap_or(u32::MAX)
    }
}
