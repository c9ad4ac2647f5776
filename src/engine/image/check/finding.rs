//! What a check can find.

use crate::field;

/// Something that a check found, and where. Offsets are of bytes in the image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A cluster whose reference count is higher than the references to it.
    Leaked {
        /// Where the cluster begins.
        offset: u64,
        /// Its reference count.
        count: u64,
        /// How often it is referred to.
        references: u64,
    },
    /// A cluster whose reference count is lower than the references to it.
    CountTooLow {
        /// Where the cluster begins.
        offset: u64,
        /// Its reference count.
        count: u64,
        /// How often it is referred to, or the largest count there is.
        references: u64,
    },
    /// A cluster that is referred to more often than a count of this image can hold. Each reference too many counts.
    CountOverflow {
        /// Where the cluster begins.
        offset: u64,
        /// The largest count.
        limit: u64,
        /// How often it is referred to.
        references: u64,
    },
    /// Something that should lie past the end of the file.
    PastEnd {
        /// Where the reference to it is.
        place: u64,
        /// Where it should begin.
        offset: u64,
        /// Its length in bytes.
        length: u64,
        /// It is lost by that: a compressed cluster, a part of a bitmap, a snapshot's L1 table, or a LUKS header of which
        /// nothing tells its length. Anything else reads as zeros.
        lost: bool,
    },
    /// Several tables or guest clusters that should lie past the end of the file, which is probably cut off. Each counts.
    CutOff {
        /// Where the first reference to one is.
        place: u64,
        /// The length of the file in bytes.
        file_size: u64,
        /// How many references there are.
        references: u64,
        /// How many of them are to compressed clusters, which are lost by that. Anything else reads as zeros.
        lost: u64,
    },
    /// A refcount table entry with reserved bits set.
    RefcountEntryReserved {
        /// Where the entry is.
        entry_offset: u64,
        /// The entry.
        entry: u64,
    },
    /// A refcount block that doesn't begin at a cluster.
    RefcountBlockUnaligned {
        /// Where the refcount table entry is.
        entry_offset: u64,
        /// Where the block should begin.
        block: u64,
    },
    /// A refcount block that should lie past the end of the file.
    RefcountBlockPastEnd {
        /// Where the refcount table entry is.
        entry_offset: u64,
        /// Where the block should begin.
        block: u64,
    },
    /// A refcount block whose cluster is something else besides.
    RefcountBlockShared {
        /// Where the refcount table entry is.
        entry_offset: u64,
        /// Where the block begins.
        block: u64,
        /// How often its cluster is referred to.
        references: u64,
    },
    /// Counts that can't be read, for their block is where none can be. Each cluster that it counts is a check error.
    CountsUnreadable {
        /// Where the refcount table entry is.
        entry_offset: u64,
        /// Where the block should begin.
        block: u64,
        /// Of how many clusters it has the counts.
        clusters: u64,
    },
    /// An L1 entry with reserved bits set.
    L1Reserved {
        /// Where the entry is.
        entry_offset: u64,
        /// The entry.
        entry: u64,
    },
    /// An L1 entry with nothing but flags.
    L1WithoutTable {
        /// Where the entry is.
        entry_offset: u64,
        /// The entry.
        entry: u64,
    },
    /// An L2 table that doesn't begin at a cluster.
    L2TableUnaligned {
        /// Where the L1 entry is.
        entry_offset: u64,
        /// Where the table should begin.
        table: u64,
    },
    /// The COPIED flag of an L1 entry says something else than the reference count of the L2 table.
    L1Copied {
        /// Where the entry is.
        entry_offset: u64,
        /// Where the L2 table begins.
        table: u64,
        /// Whether the flag is set.
        flag: bool,
    },
    /// The COPIED flag of an L2 entry says something else than the reference count of the cluster.
    L2Copied {
        /// Where the entry is.
        entry_offset: u64,
        /// Where the cluster begins.
        cluster: u64,
        /// Whether the flag is set.
        flag: bool,
    },
    /// An L2 entry with reserved bits set.
    L2Reserved {
        /// Where the entry is.
        entry_offset: u64,
        /// The entry's first word.
        entry: u64,
    },
    /// A cluster that doesn't begin at a multiple of the cluster size.
    ClusterUnaligned {
        /// Where the L2 entry is.
        entry_offset: u64,
        /// Where the cluster should begin.
        cluster: u64,
        /// Whether there should be data in it; else it is only preallocated.
        data: bool,
    },
    /// A subcluster that is both allocated and zero, or allocated without a cluster.
    Subclusters {
        /// Where the L2 entry is.
        entry_offset: u64,
        /// Its subcluster bitmap.
        bitmap: u64,
    },
    /// The COPIED flag of a compressed cluster, which never has it.
    CompressedCopied {
        /// Where the L2 entry is.
        entry_offset: u64,
    },
    /// A subcluster bitmap of a compressed cluster, which has none.
    CompressedBitmap {
        /// Where the L2 entry is.
        entry_offset: u64,
        /// The subcluster bitmap.
        bitmap: u64,
    },
    /// A compressed cluster in an image whose data are in an external file.
    CompressedWithDataFile {
        /// Where the L2 entry is.
        entry_offset: u64,
    },
    /// A zero flag in version 2, which doesn't have it. QEMU's check says nothing of it, but can't read the cluster.
    ZeroInVersion2 {
        /// Where the L2 entry is.
        entry_offset: u64,
    },
    /// The snapshot table can't be read: it doesn't begin at a cluster, or has too many entries.
    SnapshotTable {
        /// Where it should begin.
        offset: u64,
        /// How many entries it should have.
        entries: u32,
    },
    /// The snapshot table is larger than 64 MiB.
    SnapshotTableTooLong {
        /// Where it begins.
        offset: u64,
        /// The first entry that is too much, from 0.
        index: u32,
    },
    /// A snapshot's entry has more than 1024 bytes of extra data.
    SnapshotExtraData {
        /// Where the entry is.
        offset: u64,
        /// Which entry, from 0.
        index: u32,
        /// The length of its extra data in bytes.
        length: u32,
    },
    /// A snapshot's entry lacks the extra data that version 3 requires: 16 bytes.
    SnapshotIncomplete {
        /// Where the entry is.
        offset: u64,
        /// Which entry, from 0.
        index: u32,
        /// The length of its extra data in bytes.
        length: u32,
    },
    /// A snapshot whose L1 table doesn't begin at a cluster.
    SnapshotL1Unaligned {
        /// Where the snapshot's entry is.
        offset: u64,
        /// Which entry, from 0.
        index: u32,
        /// Where the L1 table should begin.
        l1_table: u64,
    },
    /// A snapshot whose L1 table should be larger than any is.
    SnapshotL1TooLarge {
        /// Where the snapshot's entry is.
        offset: u64,
        /// Which entry, from 0.
        index: u32,
        /// How many entries the L1 table should have.
        entries: u32,
    },
    /// Snapshots in an image whose data are in an external file.
    SnapshotsWithDataFile {
        /// Where the snapshot table begins.
        offset: u64,
        /// How many there are.
        snapshots: u32,
    },
    /// The marker that ends the header extensions has a length that reaches past their area. QEMU refuses the image.
    ExtensionEnd {
        /// Where the marker begins.
        offset: u64,
        /// Its length in bytes, which should be 0.
        length: u32,
    },
    /// The feature bit of a raw external data file in an image that has no external data file. QEMU refuses the image.
    RawWithoutDataFile {
        /// The autoclear features.
        features: u64,
    },
    /// A header extension that says where the LUKS header is, in an image that is not encrypted by LUKS. QEMU refuses the
    /// image.
    UnusedCryptoHeader {
        /// Where the data of the extension begins.
        offset: u64,
    },
    /// The directory of the bitmaps is broken.
    BitmapDirectory {
        /// Where it should begin.
        offset: u64,
    },
    /// An entry of a bitmap's table that can't be.
    BitmapTableEntry {
        /// Where the entry is.
        entry_offset: u64,
        /// The entry.
        entry: u64,
    },
}

impl Finding {
    /// A stable name of the kind of finding, in capitals: what programs should compare.
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

    /// The byte of the image file that it is about: the entry or the table at fault, or the cluster where a count is.
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
            Self::PastEnd { place, .. } | Self::CutOff { place, .. } => place,
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
