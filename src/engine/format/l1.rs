//! The L1 table and its entries.

use super::geometry::Geometry;
use super::units::HostOffset;

pub(crate) const L1_ENTRY_SIZE: u64 = 8;

/// QEMU's limit on an L1 table: 32 MiB.
pub(crate) const MAX_L1_ENTRIES: u64 = (32 << 20) / L1_ENTRY_SIZE;

/// Where an L1 table is, and how many entries it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct L1Table {
    pub(crate) offset: HostOffset,
    pub(crate) entries: u64,
}

/// An L1 entry as stored: bits 9 to 55 are an offset, bit 63 is COPIED, the others are reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct L1Entry(pub(crate) u64);

/// An L2 table that is not where a cluster begins; the offset that the entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnalignedTable(pub(crate) u64);

impl L1Entry {
    const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
    const COPIED: u64 = 1 << 63;
    const RESERVED: u64 = !(Self::OFFSET | Self::COPIED);

    /// The entry for an L2 table that nothing else refers to.
    pub(crate) fn copied(l2_table: HostOffset) -> Self {
        Self(l2_table.0 | Self::COPIED)
    }

    /// The same entry, with or without the flag that the L2 table has one reference.
    pub(crate) fn with_copied(self, copied: bool) -> Self {
        Self(if copied { self.0 | Self::COPIED } else { self.0 & !Self::COPIED })
    }

    /// The L2 table has one reference: it may be changed in place.
    pub(crate) fn is_copied(self) -> bool {
        self.0 & Self::COPIED != 0
    }

    /// Bits are set that mean nothing.
    pub(crate) fn has_reserved_bits(self) -> bool {
        self.0 & Self::RESERVED != 0
    }

    /// The same entry, with what means something.
    pub(crate) fn without_reserved_bits(self) -> Self {
        Self(self.0 & !Self::RESERVED)
    }

    /// The offset field; 0 is "none".
    pub(crate) fn offset(self) -> HostOffset {
        HostOffset(self.0 & Self::OFFSET)
    }

    /// Where the L2 table is; `None` where nothing of its range is mapped. Reserved bits are ignored, as QEMU does.
    pub(crate) fn l2_table(self, geometry: Geometry) -> Result<Option<HostOffset>, UnalignedTable> {
        match self.0 & Self::OFFSET {
            0 => Ok(None),
            offset if geometry.is_cluster_aligned(offset) => Ok(Some(HostOffset(offset))),
            offset => Err(UnalignedTable(offset)),
        }
    }
}
