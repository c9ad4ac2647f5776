//! The findings of a check.

use crate::field;

/// A problem that a check found, with its offset in the image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A leaked cluster: its refcount is higher than the number of its references.
    Leaked {
        /// The offset of the cluster.
        offset: u64,
        /// Its refcount.
        count: u64,
        /// The number of its references.
        references: u64,
    },
    /// A cluster whose refcount is lower than the number of its references.
    CountTooLow {
        /// The offset of the cluster.
        offset: u64,
        /// Its refcount.
        count: u64,
        /// The number of its references, at most the largest possible refcount.
        references: u64,
    },
    /// A cluster with more references than its refcount can express. Each excess reference is one corruption.
    CountOverflow {
        /// The offset of the cluster.
        offset: u64,
        /// The largest possible refcount.
        limit: u64,
        /// The number of its references.
        references: u64,
    },
    /// A reference past the end of the file.
    PastEnd {
        /// The offset of the reference.
        reference_offset: u64,
        /// The recorded offset.
        offset: u64,
        /// Its length in bytes.
        length: u64,
        /// Whether data is lost: a compressed cluster, a part of a bitmap, a snapshot's L1 table, or a LUKS header of
        /// unknown length. Anything else reads as zeros.
        lost: bool,
    },
    /// Several references to tables or guest clusters past the end of the file, which is probably truncated. Each
    /// counts.
    CutOff {
        /// The offset of the first reference.
        reference_offset: u64,
        /// The length of the file in bytes.
        file_size: u64,
        /// The number of references.
        references: u64,
        /// How many of them are to compressed clusters, whose data is lost. Anything else reads as zeros.
        lost: u64,
    },
    /// A refcount table entry with reserved bits set.
    RefcountEntryReserved {
        /// The offset of the entry.
        entry_offset: u64,
        /// The entry.
        entry: u64,
    },
    /// A refcount block that is not cluster-aligned.
    RefcountBlockUnaligned {
        /// The offset of the refcount table entry.
        entry_offset: u64,
        /// The recorded offset of the block.
        block: u64,
    },
    /// A refcount block past the end of the file.
    RefcountBlockPastEnd {
        /// The offset of the refcount table entry.
        entry_offset: u64,
        /// The recorded offset of the block.
        block: u64,
    },
    /// A refcount block whose cluster has other references.
    RefcountBlockShared {
        /// The offset of the refcount table entry.
        entry_offset: u64,
        /// The offset of the block.
        block: u64,
        /// The number of references to its cluster.
        references: u64,
    },
    /// Refcounts that cannot be read, because the offset of their block is invalid. Each of their clusters counts as a
    /// check error.
    CountsUnreadable {
        /// The offset of the refcount table entry.
        entry_offset: u64,
        /// The recorded offset of the block.
        block: u64,
        /// How many clusters the block covers.
        clusters: u64,
    },
    /// An L1 entry with reserved bits set.
    L1Reserved {
        /// The offset of the entry.
        entry_offset: u64,
        /// The entry.
        entry: u64,
    },
    /// An L1 entry with flags but no L2 table.
    L1WithoutTable {
        /// The offset of the entry.
        entry_offset: u64,
        /// The entry.
        entry: u64,
    },
    /// An L2 table that is not cluster-aligned.
    L2TableUnaligned {
        /// The offset of the L1 entry.
        entry_offset: u64,
        /// The recorded offset of the table.
        table: u64,
    },
    /// The COPIED flag of an L1 entry contradicts the refcount of the L2 table.
    L1Copied {
        /// The offset of the entry.
        entry_offset: u64,
        /// The offset of the L2 table.
        table: u64,
        /// Whether the flag is set.
        flag: bool,
    },
    /// The COPIED flag of an L2 entry contradicts the refcount of the cluster.
    L2Copied {
        /// The offset of the entry.
        entry_offset: u64,
        /// The offset of the cluster.
        cluster: u64,
        /// Whether the flag is set.
        flag: bool,
    },
    /// An L2 entry with reserved bits set.
    L2Reserved {
        /// The offset of the entry.
        entry_offset: u64,
        /// The first word of the entry.
        entry: u64,
    },
    /// A cluster that is not cluster-aligned.
    ClusterUnaligned {
        /// The offset of the L2 entry.
        entry_offset: u64,
        /// The recorded offset of the cluster.
        cluster: u64,
        /// Whether the cluster should hold data; otherwise it is only preallocated.
        data: bool,
    },
    /// A subcluster that is both allocated and zero, or allocated without a cluster.
    Subclusters {
        /// The offset of the L2 entry.
        entry_offset: u64,
        /// Its subcluster bitmap.
        bitmap: u64,
    },
    /// A COPIED flag of a compressed cluster, which must not have it.
    CompressedCopied {
        /// The offset of the L2 entry.
        entry_offset: u64,
    },
    /// A subcluster bitmap of a compressed cluster, which has none.
    CompressedBitmap {
        /// The offset of the L2 entry.
        entry_offset: u64,
        /// The subcluster bitmap.
        bitmap: u64,
    },
    /// A compressed cluster in an image with an external data file.
    CompressedWithDataFile {
        /// The offset of the L2 entry.
        entry_offset: u64,
    },
    /// A zero flag in version 2, which does not have it. QEMU's check does not report it, but QEMU cannot read the
    /// cluster.
    ZeroInVersion2 {
        /// The offset of the L2 entry.
        entry_offset: u64,
    },
    /// A snapshot table that cannot be read: it is not cluster-aligned, or has too many entries.
    SnapshotTable {
        /// The recorded offset.
        offset: u64,
        /// The recorded number of entries.
        entries: u32,
    },
    /// A snapshot table larger than 64 MiB.
    SnapshotTableTooLong {
        /// The offset of the table.
        offset: u64,
        /// The index of the first entry past the limit.
        index: u32,
    },
    /// A snapshot entry with more than 1024 bytes of extra data.
    SnapshotExtraData {
        /// The offset of the entry.
        offset: u64,
        /// The index of the entry.
        index: u32,
        /// The length of its extra data in bytes.
        length: u32,
    },
    /// A snapshot entry without the 16 bytes of extra data that version 3 requires.
    SnapshotIncomplete {
        /// The offset of the entry.
        offset: u64,
        /// The index of the entry.
        index: u32,
        /// The length of its extra data in bytes.
        length: u32,
    },
    /// A snapshot whose L1 table is not cluster-aligned.
    SnapshotL1Unaligned {
        /// The offset of the snapshot's entry.
        offset: u64,
        /// The index of the entry.
        index: u32,
        /// The recorded offset of the L1 table.
        l1_table: u64,
    },
    /// A snapshot whose L1 table exceeds the size limit.
    SnapshotL1TooLarge {
        /// The offset of the snapshot's entry.
        offset: u64,
        /// The index of the entry.
        index: u32,
        /// The recorded number of L1 entries.
        entries: u32,
    },
    /// Snapshots in an image with an external data file.
    SnapshotsWithDataFile {
        /// The offset of the snapshot table.
        offset: u64,
        /// The number of snapshots.
        snapshots: u32,
    },
    /// A marker that ends the header extensions but has a length past their area. QEMU refuses the image.
    ExtensionEnd {
        /// The offset of the marker.
        offset: u64,
        /// Its length in bytes, which should be 0.
        length: u32,
    },
    /// The feature bit of a raw external data file in an image that has no external data file. QEMU refuses the image.
    RawWithoutDataFile {
        /// The autoclear features.
        features: u64,
    },
    /// A header extension for a LUKS header in an image that is not encrypted with LUKS. QEMU refuses the image.
    UnusedCryptoHeader {
        /// The offset of the extension's data.
        offset: u64,
    },
    /// A corrupt bitmap directory.
    BitmapDirectory {
        /// The recorded offset.
        offset: u64,
    },
    /// An invalid entry of a bitmap table.
    BitmapTableEntry {
        /// The offset of the entry.
        entry_offset: u64,
        /// The entry.
        entry: u64,
    },
}

impl Finding {
    /// Returns the stable code of this kind of finding, in capitals, for comparison by programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Leaked { .. } => "LEAKED",
            Self::CountTooLow { .. } => "COUNT_TOO_LOW",
            Self::CountOverflow { .. } => "COUNT_OVERFLOW",
            Self::PastEnd { .. } => "PAST_END",
            Self::CutOff { .. } => "CUT_OFF",
            Self::RefcountEntryReserved { .. } => "REFCOUNT_ENTRY_RESERVED",
            Self::RefcountBlockUnaligned { .. } => "REFCOUNT_BLOCK_UNALIGNED",
            Self::RefcountBlockPastEnd { .. } => "REFCOUNT_BLOCK_PAST_END",
            Self::RefcountBlockShared { .. } => "REFCOUNT_BLOCK_SHARED",
            Self::CountsUnreadable { .. } => "COUNTS_UNREADABLE",
            Self::L1Reserved { .. } => "L1_RESERVED",
            Self::L1WithoutTable { .. } => "L1_WITHOUT_TABLE",
            Self::L2TableUnaligned { .. } => "L2_TABLE_UNALIGNED",
            Self::L1Copied { .. } => "L1_COPIED",
            Self::L2Copied { .. } => "L2_COPIED",
            Self::L2Reserved { .. } => "L2_RESERVED",
            Self::ClusterUnaligned { .. } => "CLUSTER_UNALIGNED",
            Self::Subclusters { .. } => "SUBCLUSTERS",
            Self::CompressedCopied { .. } => "COMPRESSED_COPIED",
            Self::CompressedBitmap { .. } => "COMPRESSED_BITMAP",
            Self::CompressedWithDataFile { .. } => "COMPRESSED_WITH_DATA_FILE",
            Self::ZeroInVersion2 { .. } => "ZERO_IN_VERSION_2",
            Self::SnapshotTable { .. } => "SNAPSHOT_TABLE",
            Self::SnapshotTableTooLong { .. } => "SNAPSHOT_TABLE_TOO_LONG",
            Self::SnapshotExtraData { .. } => "SNAPSHOT_EXTRA_DATA",
            Self::SnapshotIncomplete { .. } => "SNAPSHOT_INCOMPLETE",
            Self::SnapshotL1Unaligned { .. } => "SNAPSHOT_L1_UNALIGNED",
            Self::SnapshotL1TooLarge { .. } => "SNAPSHOT_L1_TOO_LARGE",
            Self::SnapshotsWithDataFile { .. } => "SNAPSHOTS_WITH_DATA_FILE",
            Self::ExtensionEnd { .. } => "EXTENSION_END",
            Self::RawWithoutDataFile { .. } => "RAW_WITHOUT_DATA_FILE",
            Self::UnusedCryptoHeader { .. } => "UNUSED_CRYPTO_HEADER",
            Self::BitmapDirectory { .. } => "BITMAP_DIRECTORY",
            Self::BitmapTableEntry { .. } => "BITMAP_TABLE_ENTRY",
        }
    }

    /// Returns the offset in the image file of the corrupt entry or table, or of the cluster.
    pub fn offset(&self) -> u64 {
        match *self {
            Self::Leaked { offset, .. }
            | Self::CountTooLow { offset, .. }
            | Self::CountOverflow { offset, .. }
            | Self::SnapshotTable { offset, .. }
            | Self::SnapshotTableTooLong { offset, .. }
            | Self::SnapshotExtraData { offset, .. }
            | Self::SnapshotIncomplete { offset, .. }
            | Self::SnapshotL1Unaligned { offset, .. }
            | Self::SnapshotL1TooLarge { offset, .. }
            | Self::SnapshotsWithDataFile { offset, .. }
            | Self::ExtensionEnd { offset, .. }
            | Self::UnusedCryptoHeader { offset }
            | Self::BitmapDirectory { offset } => offset,
            Self::RawWithoutDataFile { .. } => field::AUTOCLEAR_FEATURES,
            Self::PastEnd { reference_offset, .. } | Self::CutOff { reference_offset, .. } => reference_offset,
            Self::RefcountEntryReserved { entry_offset, .. }
            | Self::RefcountBlockUnaligned { entry_offset, .. }
            | Self::RefcountBlockPastEnd { entry_offset, .. }
            | Self::RefcountBlockShared { entry_offset, .. }
            | Self::CountsUnreadable { entry_offset, .. }
            | Self::L1Reserved { entry_offset, .. }
            | Self::L1WithoutTable { entry_offset, .. }
            | Self::L2TableUnaligned { entry_offset, .. }
            | Self::L1Copied { entry_offset, .. }
            | Self::L2Copied { entry_offset, .. }
            | Self::L2Reserved { entry_offset, .. }
            | Self::ClusterUnaligned { entry_offset, .. }
            | Self::Subclusters { entry_offset, .. }
            | Self::CompressedCopied { entry_offset }
            | Self::CompressedBitmap { entry_offset, .. }
            | Self::CompressedWithDataFile { entry_offset }
            | Self::ZeroInVersion2 { entry_offset }
            | Self::BitmapTableEntry { entry_offset, .. } => entry_offset,
        }
    }
}
