use super::decompress::DecompressError;
use super::luks::LuksFault;
use crate::field;

mod display;

/// A rule of the format that the image breaks, and the location.
///
/// All offsets are host offsets in bytes, unless stated otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// The file ends within the header.
    HeaderTruncated {
        /// The file's length in bytes.
        length: u64,
    },
    /// The cluster size is less than 512 bytes or more than 2 MiB.
    ClusterBits {
        /// The header's `cluster_bits`.
        bits: u32,
    },
    /// The header length is less than 104, or more than a cluster.
    HeaderLength {
        /// The header's `header_length`.
        length: u32,
    },
    /// Extended L2 entries with clusters of less than 16 KiB, so that subclusters have less than 512 bytes.
    SubclusterTooSmall {
        /// The header's `cluster_bits`.
        cluster_bits: u32,
    },
    /// The refcount width is more than 64 bits.
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
    /// The compression type and its feature bit contradict each other.
    CompressionFlag {
        /// Whether the feature bit is set.
        flag: bool,
        /// The header's compression type.
        compression_type: u8,
    },
    /// A table does not begin at a cluster boundary.
    TableUnaligned {
        /// The table.
        table: HeaderTable,
        /// The recorded offset of the table.
        offset: u64,
    },
    /// A table exceeds QEMU's limit.
    TableTooLarge {
        /// The table.
        table: HeaderTable,
        /// The recorded size: in entries, in clusters for the refcount table, or in bytes for the bitmap directory.
        count: u64,
    },
    /// The image has no refcount table.
    NoRefcountTable,
    /// The L1 table does not cover the disk.
    L1TooSmall {
        /// The number of entries of the table.
        entries: u64,
        /// The number of entries that the disk needs.
        needed: u64,
    },
    /// A header extension reaches past the area of the extensions.
    ExtensionTooLong {
        /// The offset of the extension.
        offset: u64,
        /// The recorded length in bytes.
        length: u32,
    },
    /// The end marker of the header extensions has a length that reaches past their area.
    ///
    /// All extensions can be read, but QEMU refuses the image.
    ExtensionEnd {
        /// The offset of the marker.
        offset: u64,
        /// The recorded length in bytes, which should be 0.
        length: u32,
    },
    /// The feature bit of a raw external data file is set, but there is no external data file.
    RawWithoutDataFile,
    /// A header extension of a known type has a length that is invalid for this type.
    ExtensionLength {
        /// The type of the extension.
        kind: u32,
        /// The offset of its data.
        offset: u64,
        /// The recorded length in bytes.
        length: u32,
    },
    /// An entry of the snapshot table reaches past the end of the file.
    SnapshotTruncated {
        /// The index of the entry, from 0.
        index: u32,
        /// The offset of the entry.
        offset: u64,
    },
    /// An entry of the snapshot table has more than 1024 bytes of extra data.
    SnapshotExtraData {
        /// The index of the entry, from 0.
        index: u32,
        /// The offset of the entry.
        offset: u64,
        /// The length of its extra data in bytes.
        length: u32,
    },
    /// A snapshot's disk is larger than its L1 table covers.
    SnapshotL1TooSmall {
        /// The offset of the snapshot's L1 table.
        offset: u64,
        /// The number of entries of the table.
        entries: u64,
        /// The number of entries that the snapshot's disk needs.
        needed: u64,
    },
    /// An entry of the bitmap directory is invalid, or the directory ends within it.
    BitmapEntry {
        /// The index of the entry, from 0.
        index: u32,
        /// The offset of the directory.
        directory: u64,
    },
    /// A refcount table entry points to a refcount block that does not begin at a cluster boundary.
    RefcountBlockUnaligned {
        /// The offset of the entry.
        entry_offset: u64,
        /// The recorded offset of the block.
        block: u64,
    },
    /// An L1 entry points to an L2 table that does not begin at a cluster boundary.
    L2TableUnaligned {
        /// The offset of the L1 entry.
        entry_offset: u64,
        /// The recorded offset of the L2 table.
        table: u64,
    },
    /// An L2 entry points to a cluster that does not begin at a multiple of the cluster size.
    ClusterUnaligned {
        /// The offset of the L2 entry.
        entry_offset: u64,
        /// The recorded offset of the cluster.
        cluster: u64,
    },
    /// An L2 entry has the zero flag, which version 2 doesn't have.
    ZeroInVersion2 {
        /// The offset of the L2 entry.
        entry_offset: u64,
    },
    /// An extended L2 entry has a subcluster that is both allocated and zero, or allocated without a host cluster.
    Subclusters {
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
    /// An L2 entry points to a host offset in the external data file that differs from the guest offset.
    MovedInDataFile {
        /// The offset of the L2 entry.
        entry_offset: u64,
        /// The recorded offset of the cluster in the data file.
        cluster: u64,
    },
    /// The refcount of a cluster that a table refers to is 0.
    Uncounted {
        /// The offset of the cluster.
        offset: u64,
    },
    /// Metadata overlaps other metadata or data, or a write would overwrite it.
    Overlap {
        /// The offset of the metadata.
        offset: u64,
    },
    /// A compressed cluster can't be decompressed.
    Compressed {
        /// The offset of its compressed bytes.
        offset: u64,
        /// The error of the codec.
        error: DecompressError,
    },
    /// The image is encrypted by LUKS, but doesn't record where the LUKS header is.
    NoCryptoHeader,
    /// The LUKS header doesn't begin at a cluster boundary.
    CryptoHeaderUnaligned {
        /// The recorded offset of the LUKS header.
        offset: u64,
    },
    /// The LUKS header is corrupt.
    Luks {
        /// The offset of the corruption.
        offset: u64,
        /// The corruption.
        fault: LuksFault,
    },
}

/// A table that the header or a snapshot points to.
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
