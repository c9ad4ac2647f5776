//! What is wrong with an image in words.

use core::fmt;

use super::Corrupt;

impl fmt::Display for Corrupt {
    #[expect(clippy::too_many_lines, reason = "one sentence a variant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::HeaderTruncated { length } => {
                write!(f, "the file ends within the qcow2 header: it has only {length} bytes")
            }
            Self::ClusterBits { bits } => {
                write!(f, "the header gives clusters of 2^{bits} bytes; 2^9 (512 bytes) to 2^21 (2 MiB) are allowed")
            }
            Self::HeaderLength { length } => {
                write!(f, "the header gives {length} bytes as its own length, which can't be")
            }
            Self::SubclusterTooSmall { cluster_bits } => {
                write!(
                    f,
                    "extended L2 entries need clusters of 16 KiB or more; the header gives 2^{cluster_bits} bytes"
                )
            }
            Self::RefcountOrder { order } => {
                write!(f, "the header gives reference counts of 2^{order} bits; at most 2^6 (64) are allowed")
            }
            Self::BackingNameOffset { offset } => {
                write!(f, "the backing file's name should be at offset {offset:#x}, past the first cluster")
            }
            Self::BackingNameLength { length } => {
                write!(f, "the backing file's name should be {length} bytes long, which is too much")
            }
            Self::CompressionFlag { flag: true, .. } => {
                f.write_str("the header announces another compression than zlib, but its compression type is zlib")
            }
            Self::CompressionFlag { flag: false, compression_type } => {
                write!(
                    f,
                    "the header has compression type {compression_type}, but not the feature bit that goes with it"
                )
            }
            Self::TableUnaligned { table, offset } => {
                write!(
                    f,
                    "{} should begin at offset {offset:#x}, which is not the beginning of a cluster",
                    table.name()
                )
            }
            Self::TableTooLarge { table, count } => {
                write!(f, "{} should have {count} {}, which is too much", table.name(), table.unit())
            }
            Self::NoRefcountTable => f.write_str("the image has no refcount table"),
            Self::L1TooSmall { entries, needed } => {
                write!(f, "the L1 table has {entries} entries, but a disk of this size needs {needed}")
            }
            Self::ExtensionTooLong { offset, length } => {
                write!(
                    f,
                    "the header extension at offset {offset:#x} should be {length} bytes long, more than there is room for"
                )
            }
            Self::ExtensionEnd { offset, length } => write!(
                f,
                "the marker at offset {offset:#x} that ends the header extensions has a length, of {length} bytes, and must not"
            ),
            Self::RawWithoutDataFile => {
                f.write_str("the image says that its external data file is raw, but has no external data file")
            }
            Self::ExtensionLength { kind, offset, length } => {
                write!(f, "the header extension {kind:#010x} at offset {offset:#x} can't be {length} bytes long")
            }
            Self::NoCryptoHeader => {
                f.write_str("the image is encrypted by LUKS, but doesn't say where the LUKS header is")
            }
            Self::CryptoHeaderUnaligned { offset } => {
                write!(f, "the LUKS header should be at offset {offset:#x}, which is not the beginning of a cluster")
            }
            Self::Luks { offset, fault } => write!(f, "the LUKS header is broken, at offset {offset:#x}: {fault}"),
            Self::SnapshotTruncated { index, offset } => {
                write!(f, "the file ends within entry {index} of the snapshot table, at offset {offset:#x}")
            }
            Self::SnapshotExtraData { index, offset, length } => {
                write!(
                    f,
                    "entry {index} of the snapshot table, at offset {offset:#x}, can't have {length} bytes of extra data"
                )
            }
            Self::SnapshotL1TooSmall { offset, entries, needed } => {
                write!(
                    f,
                    "the snapshot's L1 table at offset {offset:#x} has {entries} entries, but its disk needs {needed}"
                )
            }
            Self::BitmapEntry { index, directory } => {
                write!(f, "entry {index} of the bitmap directory at offset {directory:#x} is broken")
            }
            Self::RefcountBlockUnaligned { entry_offset, block } => {
                write!(
                    f,
                    "the refcount table entry at offset {entry_offset:#x} points to {block:#x}, which is not the beginning of a cluster"
                )
            }
            Self::L2TableUnaligned { entry_offset, table } => {
                write!(
                    f,
                    "the L1 entry at offset {entry_offset:#x} points to {table:#x}, which is not the beginning of a cluster"
                )
            }
            Self::ClusterUnaligned { entry_offset, cluster } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} points to {cluster:#x}, which is not the beginning of a cluster"
                )
            }
            Self::ZeroInVersion2 { entry_offset } => {
                write!(f, "the L2 entry at offset {entry_offset:#x} has the zero flag, which version 2 doesn't have")
            }
            Self::Subclusters { entry_offset, bitmap } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} has the impossible subcluster bitmap {bitmap:#018x}"
                )
            }
            Self::CompressedWithDataFile { entry_offset } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} is compressed, though the data is in an external file"
                )
            }
            Self::MovedInDataFile { entry_offset, cluster } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} puts its cluster at {cluster:#x} of the external data file, \
                     not where it is on the disk"
                )
            }
            Self::Uncounted { offset } => {
                write!(f, "the cluster at offset {offset:#x} is in use, but its reference count says that it is free")
            }
            Self::Overlap { offset } => {
                write!(
                    f,
                    "the image is damaged: its metadata at offset {offset:#x} would be overwritten, for something else is there too"
                )
            }
            Self::Compressed { offset, error } => {
                write!(f, "the compressed cluster at offset {offset:#x} can't be unpacked: {error}")
            }
        }
    }
}
