//! The L1 table and its entries.

use super::geometry::Geometry;
use super::units::HostOffset;

pub(crate) const L1_ENTRY_SIZE: u64 = 8;

/// QEMU's limit on an L1 table: 32 MiB.
pub(crate) const MAX_L1_ENTRIES: u64 = (32 << 20) / L1_ENTRY_SIZE;

/// The host offset and the number of entries of an L1 table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct L1Table {
    pub(crate) offset: HostOffset,
    pub(crate) entries: u64,
}

/// An L1 entry as stored: bits 9 to 55 are an offset, bit 63 is COPIED, the others are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct L1Entry(pub(crate) u64);

/// The offset of an L2 table that does not begin at a cluster boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnalignedTable(pub(crate) u64);

impl L1Entry {
    const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
    const COPIED: u64 = 1 << 63;
    const RESERVED: u64 = !(Self::OFFSET | Self::COPIED);

    /// Returns the entry for an L2 table whose refcount is one.
    pub(crate) fn copied(l2_table: HostOffset) -> Self {
        Self(l2_table.0 | Self::COPIED)
    }

    /// Returns the entry with or without the COPIED flag.
    pub(crate) fn with_copied(self, copied: bool) -> Self {
        Self(if copied { self.0 | Self::COPIED } else { self.0 & !Self::COPIED })
    }

    /// Returns the entry with another L2 table.
    pub(crate) fn with_l2_table(self, table: HostOffset) -> Self {
        Self(self.0 & !Self::OFFSET | table.0)
    }

    /// Returns whether the entry is COPIED: the refcount of the L2 table is one, so it may be changed in place.
    pub(crate) fn is_copied(self) -> bool {
        self.0 & Self::COPIED != 0
    }

    /// Returns whether reserved bits are set.
    pub(crate) fn has_reserved_bits(self) -> bool {
        self.0 & Self::RESERVED != 0
    }

    /// Returns the entry without its reserved bits.
    pub(crate) fn without_reserved_bits(self) -> Self {
        Self(self.0 & !Self::RESERVED)
    }

    /// Returns the offset field; 0 means that there is no L2 table.
    pub(crate) fn offset(self) -> HostOffset {
        HostOffset(self.0 & Self::OFFSET)
    }

    /// Returns the host offset of the L2 table, or `None` without one. Ignores reserved bits, as QEMU does.
    pub(crate) fn l2_table(self, geometry: Geometry) -> Result<Option<HostOffset>, UnalignedTable> {
        match self.0 & Self::OFFSET {
            0 => Ok(None),
            offset if geometry.is_cluster_aligned(offset) => Ok(Some(HostOffset(offset))),
            offset => Err(UnalignedTable(offset)),
        }
    }
}
