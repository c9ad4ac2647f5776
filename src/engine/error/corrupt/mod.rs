use super::decompress::DecompressError;
use super::luks::LuksFault;
use crate::field;

mod display;

/// A rule of the format that the image breaks, and where.
///
/// Offsets are of bytes in the image file, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// The file ends within the header.
    HeaderTruncated {
        /// The file's length in bytes.
        length: u64,
    },
    /// Clusters of less than 512 bytes or more than 2 MiB.
    ClusterBits {
        /// The header's `cluster_bits`.
        bits: u32,
    },
    /// A header length below 104, above a cluster, or no multiple of 8.
    HeaderLength {
        /// The header's `header_length`.
        length: u32,
    },
    /// Extended L2 entries with clusters of less than 16 KiB, whose subclusters would be under 512 bytes.
    SubclusterTooSmall {
        /// The header's `cluster_bits`.
        cluster_bits: u32,
    },
    /// References of more than 64 bits.
    RefcountOrder {
        /// The header's `refcount_order`.
        order: u32,
    },
    /// The backing file's name begins past the first cluster.
    BackingNameOffset {
        /// The header's `backing_file_offset`.
        offset: u64,
    },
    /// The backing file's name is longer than 1023 bytes, or leaves the first cluster.
    BackingNameLength {
        /// The header's `backing_file_size`.
        length: u32,
    },
    /// The compression type and the feature bit that announces it contradict each other.
    CompressionFlag {
        /// Whether the feature bit is set.
        flag: bool,
        /// The header's compression type.
        compression_type: u8,
    },
    /// A table that does not begin at a cluster.
    TableUnaligned {
        /// Which table.
        table: HeaderTable,
        /// Where it should begin.
        offset: u64,
    },
    /// A table that is larger than any image needs.
    TableTooLarge {
        /// Which table.
        table: HeaderTable,
        /// Its size in its own unit: entries, or clusters for the refcount table, or bytes for the bitmap directory.
        count: u64,
    },
    /// The image has no refcount table.
    NoRefcountTable,
    /// The L1 table does not cover the disk.
    L1TooSmall {
        /// How many entries it has.
        entries: u64,
        /// How many the disk needs.
        needed: u64,
    },
    /// A header extension reaches past the area of the extensions.
    ExtensionTooLong {
        /// Where the extension begins.
        offset: u64,
        /// Its length in bytes.
        length: u32,
    },
    /// The marker behind the last header extension has a length that reaches past the area of the extensions. All
    /// extensions can be read, but QEMU refuses the image.
    ExtensionEnd {
        /// Where the marker begins.
        offset: u64,
        /// Its length in bytes, which should be 0.
        length: u32,
    },
    /// The feature bit of a raw external data file without an external data file.
    RawWithoutDataFile,
    /// A header extension of a known type has a length that this type can't have.
    ExtensionLength {
        /// The extension's type.
        kind: u32,
        /// Where its data begins.
        offset: u64,
        /// Its length in bytes.
        length: u32,
    },
    /// An entry of the snapshot table reaches past the end of the file.
    SnapshotTruncated {
        /// Which entry, from 0.
        index: u32,
        /// Where it begins.
        offset: u64,
    },
    /// An entry of the snapshot table has more than 1024 bytes of extra data.
    SnapshotExtraData {
        /// Which entry, from 0.
        index: u32,
        /// Where it begins.
        offset: u64,
        /// The length of its extra data in bytes.
        length: u32,
    },
    /// A snapshot's disk is larger than its L1 table covers.
    SnapshotL1TooSmall {
        /// Where the snapshot's L1 table begins.
        offset: u64,
        /// How many entries it has.
        entries: u64,
        /// How many the snapshot's disk needs.
        needed: u64,
    },
    /// An entry of the bitmap directory is broken, or the directory ends within it.
    BitmapEntry {
        /// Which entry, from 0.
        index: u32,
        /// Where the directory begins.
        directory: u64,
    },
    /// A refcount table entry points to a block that does not begin at a cluster.
    RefcountBlockUnaligned {
        /// Where the entry is.
        entry_offset: u64,
        /// Where the block should begin.
        block: u64,
    },
    /// An L1 entry points to an L2 table that does not begin at a cluster.
    L2TableUnaligned {
        /// Where the L1 entry is.
        entry_offset: u64,
        /// Where the table should begin.
        table: u64,
    },
    /// An L2 entry points to a cluster that does not begin at a multiple of the cluster size.
    ClusterUnaligned {
        /// Where the L2 entry is.
        entry_offset: u64,
        /// Where the cluster should begin.
        cluster: u64,
    },
    /// An L2 entry with the zero flag, which version 2 doesn't have.
    ZeroInVersion2 {
        /// Where the L2 entry is.
        entry_offset: u64,
    },
    /// An extended L2 entry with a subcluster that is both allocated and zero, or allocated without a cluster.
    Subclusters {
        /// Where the L2 entry is.
        entry_offset: u64,
        /// Its subcluster bitmap.
        bitmap: u64,
    },
    /// A compressed cluster in an image whose data is in an external file.
    CompressedWithDataFile {
        /// Where the L2 entry is.
        entry_offset: u64,
    },
    /// An L2 entry that puts a cluster elsewhere in the external data file than it is on the disk.
    MovedInDataFile {
        /// Where the L2 entry is.
        entry_offset: u64,
        /// Where it puts the cluster in the data file.
        cluster: u64,
    },
    /// A cluster that a table refers to is counted as free.
    Uncounted {
        /// Where the cluster begins.
        offset: u64,
    },
    /// Data or a table is, or should be written, where other metadata of the image are.
    Overlap {
        /// Where those metadata are.
        offset: u64,
    },
    /// A compressed cluster that can't be unpacked.
    Compressed {
        /// Where its compressed bytes begin.
        offset: u64,
        /// What the codec found.
        error: DecompressError,
    },
    /// The image is encrypted by LUKS, and doesn't say where the LUKS header is.
    NoCryptoHeader,
    /// The LUKS header doesn't begin at a cluster.
    CryptoHeaderUnaligned {
        /// Where it should begin.
        offset: u64,
    },
    /// The LUKS header is broken.
    Luks {
        /// Where in the file the fault is.
        offset: u64,
        /// What is wrong.
        fault: LuksFault,
    },
}

/// A table that is found from the header, or from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderTable {
    /// The active L1 table.
    L1,
    /// The refcount table.
    Refcounts,
    /// The snapshot table.
    Snapshots,
    /// The L1 table of a snapshot.
    SnapshotL1,
    /// The directory of the bitmaps.
    Bitmaps,
}

impl HeaderTable {
    fn name(self) -> &'static str {
        match self {
            Self::L1 => "the L1 table",
            Self::Refcounts => "the refcount table",
            Self::Snapshots => "the snapshot table",
            Self::SnapshotL1 => "the snapshot's L1 table",
            Self::Bitmaps => "the bitmap directory",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::L1 | Self::SnapshotL1 | Self::Snapshots => "entries",
            Self::Refcounts => "clusters",
            Self::Bitmaps => "bytes",
        }
    }
}

impl Corrupt {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::HeaderTruncated { .. }
            | Self::ClusterBits { .. }
            | Self::HeaderLength { .. }
            | Self::SubclusterTooSmall { .. }
            | Self::RefcountOrder { .. }
            | Self::BackingNameOffset { .. }
            | Self::BackingNameLength { .. }
            | Self::CompressionFlag { .. }
            | Self::TableUnaligned { .. }
            | Self::TableTooLarge { .. }
            | Self::NoRefcountTable
            | Self::RawWithoutDataFile
            | Self::L1TooSmall { .. }
            | Self::NoCryptoHeader => "CORRUPT_HEADER",
            Self::ExtensionTooLong { .. }
            | Self::ExtensionEnd { .. }
            | Self::ExtensionLength { .. }
            | Self::CryptoHeaderUnaligned { .. } => "CORRUPT_EXTENSION",
            Self::Luks { .. } => "CORRUPT_ENCRYPTION",
            Self::SnapshotTruncated { .. } | Self::SnapshotExtraData { .. } | Self::SnapshotL1TooSmall { .. } => {
                "CORRUPT_SNAPSHOT"
            }
            Self::BitmapEntry { .. } => "CORRUPT_BITMAP",
            Self::RefcountBlockUnaligned { .. } => "CORRUPT_REFCOUNT_TABLE",
            Self::L2TableUnaligned { .. } => "CORRUPT_L1_ENTRY",
            Self::ClusterUnaligned { .. }
            | Self::ZeroInVersion2 { .. }
            | Self::Subclusters { .. }
            | Self::CompressedWithDataFile { .. }
            | Self::MovedInDataFile { .. } => "CORRUPT_L2_ENTRY",
            Self::Uncounted { .. } => "CORRUPT_REFCOUNT",
            Self::Overlap { .. } => "CORRUPT_OVERLAP",
            Self::Compressed { .. } => "CORRUPT_COMPRESSED_CLUSTER",
        }
    }

    pub(crate) fn offset(&self) -> Option<u64> {
        Some(match *self {
            Self::HeaderTruncated { length } => length,
            Self::ClusterBits { .. } | Self::SubclusterTooSmall { .. } => field::CLUSTER_BITS,
            Self::HeaderLength { .. } => field::HEADER_LENGTH,
            Self::RefcountOrder { .. } => field::REFCOUNT_ORDER,
            Self::BackingNameOffset { .. } => field::BACKING_FILE_OFFSET,
            Self::BackingNameLength { .. } => field::BACKING_FILE_SIZE,
            Self::CompressionFlag { .. } => field::COMPRESSION_TYPE,
            Self::TableUnaligned { table, .. } => match table {
                HeaderTable::L1 => field::L1_TABLE_OFFSET,
                HeaderTable::Refcounts => field::REFCOUNT_TABLE_OFFSET,
                HeaderTable::Snapshots => field::SNAPSHOTS_OFFSET,
                HeaderTable::SnapshotL1 | HeaderTable::Bitmaps => return None,
            },
            Self::TableTooLarge { table, .. } => match table {
                HeaderTable::L1 => field::L1_SIZE,
                HeaderTable::Refcounts => field::REFCOUNT_TABLE_CLUSTERS,
                HeaderTable::Snapshots => field::NB_SNAPSHOTS,
                HeaderTable::SnapshotL1 | HeaderTable::Bitmaps => return None,
            },
            Self::NoRefcountTable => field::REFCOUNT_TABLE_CLUSTERS,
            Self::L1TooSmall { .. } => field::L1_SIZE,
            Self::NoCryptoHeader => field::CRYPT_METHOD,
            Self::RawWithoutDataFile => field::AUTOCLEAR_FEATURES,
            Self::ExtensionTooLong { offset, .. }
            | Self::ExtensionEnd { offset, .. }
            | Self::ExtensionLength { offset, .. }
            | Self::CryptoHeaderUnaligned { offset }
            | Self::Luks { offset, .. }
            | Self::SnapshotTruncated { offset, .. }
            | Self::SnapshotExtraData { offset, .. }
            | Self::SnapshotL1TooSmall { offset, .. }
            | Self::Uncounted { offset }
            | Self::Overlap { offset }
            | Self::Compressed { offset, .. } => offset,
            Self::BitmapEntry { directory, .. } => directory,
            Self::RefcountBlockUnaligned { entry_offset, .. }
            | Self::L2TableUnaligned { entry_offset, .. }
            | Self::ClusterUnaligned { entry_offset, .. }
            | Self::ZeroInVersion2 { entry_offset }
            | Self::Subclusters { entry_offset, .. }
            | Self::CompressedWithDataFile { entry_offset }
            | Self::MovedInDataFile { entry_offset, .. } => entry_offset,
        })
    }
}
