//! The messages of [`Corrupt`].

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
                write!(
                    f,
                    "the cluster size in the header is 2^{bits} bytes; 2^9 (512 bytes) to 2^21 (2 MiB) are allowed"
                )
            }
            Self::HeaderLength { length } => {
                write!(f, "the header length in the header is {length} bytes, which is invalid")
            }
            Self::SubclusterTooSmall { cluster_bits } => {
                write!(
                    f,
                    "extended L2 entries need clusters of 16 KiB or more; the cluster size in the header is 2^{cluster_bits} bytes"
                )
            }
            Self::RefcountOrder { order } => {
                write!(f, "the refcount width in the header is 2^{order} bits; at most 2^6 (64) are allowed")
            }
            Self::BackingNameOffset { offset } => {
                write!(
                    f,
                    "the backing file's name is at offset {offset:#x} according to the header, past the first cluster"
                )
            }
            Self::BackingNameLength { length } => {
                write!(f, "the backing file's name has {length} bytes according to the header, which is too long")
            }
            Self::CompressionFlag { flag: true, .. } => f.write_str(
                "the header has the feature bit of a compression type other than zlib, but the type is zlib",
            ),
            Self::CompressionFlag { flag: false, compression_type } => {
                write!(f, "the header has compression type {compression_type}, but not the feature bit for it")
            }
            Self::TableUnaligned { table, offset } => {
                write!(
                    f,
                    "{} is at offset {offset:#x} according to the image, which is not the beginning of a cluster",
                    table.name()
                )
            }
            Self::TableTooLarge { table, count } => {
                write!(f, "{} has {count} {} according to the image, which is too large", table.name(), table.unit())
            }
            Self::NoRefcountTable => f.write_str("the image has no refcount table"),
            Self::L1TooSmall { entries, needed } => {
                write!(f, "the L1 table has {entries} entries, but a disk of this size needs {needed}")
            }
            Self::ExtensionTooLong { offset, length } => {
                write!(
                    f,
                    "the header extension at offset {offset:#x} has the length {length}, which exceeds the space for extensions"
                )
            }
            Self::ExtensionEnd { offset, length } => write!(
                f,
                "the end marker of the header extensions at offset {offset:#x} has the length {length}, which must be 0"
            ),
            Self::RawWithoutDataFile => {
                f.write_str("the image has the feature bit of a raw external data file, but no external data file")
            }
            Self::ExtensionLength { kind, offset, length } => {
                write!(f, "the header extension {kind:#010x} at offset {offset:#x} can't be {length} bytes long")
            }
            Self::NoCryptoHeader => {
                f.write_str("the image is encrypted by LUKS, but doesn't record where the LUKS header is")
            }
            Self::CryptoHeaderUnaligned { offset } => {
                write!(
                    f,
                    "the LUKS header is at offset {offset:#x} according to the image, which is not the beginning of a cluster"
                )
            }
            Self::Luks { offset, fault } => write!(f, "the LUKS header is corrupt at offset {offset:#x}: {fault}"),
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
                write!(f, "entry {index} of the bitmap directory at offset {directory:#x} is corrupt")
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
                write!(f, "the L2 entry at offset {entry_offset:#x} has the invalid subcluster bitmap {bitmap:#018x}")
            }
            Self::CompressedWithDataFile { entry_offset } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} is compressed, but the data is in an external data file"
                )
            }
            Self::MovedInDataFile { entry_offset, cluster } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} points to {cluster:#x} in the external data file, but the \
                     host offset must equal the guest offset there"
                )
            }
            Self::Uncounted { offset } => {
                write!(f, "the cluster at offset {offset:#x} is in use, but its refcount is 0")
            }
            Self::Overlap { offset } => {
                write!(
                    f,
                    "the image is corrupt: its metadata at offset {offset:#x} overlaps other data or metadata; repair the image first"
                )
            }
            Self::Compressed { offset, error } => {
                write!(f, "the compressed cluster at offset {offset:#x} can't be decompressed: {error}")
            }
        }
    }
}
