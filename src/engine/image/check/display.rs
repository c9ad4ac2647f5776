//! The messages of a check's findings.

use core::fmt;

use super::finding::Finding;

impl fmt::Display for Finding {
    #[expect(clippy::too_many_lines, reason = "one sentence per variant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Leaked { offset, count, references } => write!(
                f,
                "the cluster at offset {offset:#x} is leaked: its refcount is {count}, but it has {references} references"
            ),
            Self::CountTooLow { offset, count, references } => write!(
                f,
                "the cluster at offset {offset:#x} may be overwritten: its refcount is {count}, but it has {references} \
                 references"
            ),
            Self::CountOverflow { offset, limit, references } => write!(
                f,
                "the cluster at offset {offset:#x} has {references} references, but the largest refcount of this image is {limit}"
            ),
            Self::PastEnd { reference_offset, offset, length, .. } => write!(
                f,
                "the reference at offset {reference_offset:#x} points to {length} bytes at {offset:#x}, past the end of the file"
            ),
            Self::RefcountEntryReserved { entry_offset, entry } => {
                write!(f, "the refcount table entry {entry:#x} at offset {entry_offset:#x} has reserved bits set")
            }
            Self::RefcountBlockUnaligned { entry_offset, block } => write!(
                f,
                "the refcount table entry at offset {entry_offset:#x} points to {block:#x}, which is not the beginning of a \
                 cluster"
            ),
            Self::CutOff { reference_offset, file_size, references, .. } => write!(
                f,
                "{references} references, the first at offset {reference_offset:#x}, point past the end of the file at \
                 {file_size:#x}; the file is probably truncated"
            ),
            Self::RefcountBlockPastEnd { entry_offset, block } => write!(
                f,
                "the refcount table entry at offset {entry_offset:#x} points to {block:#x}, past the end of the file"
            ),
            Self::RefcountBlockShared { block, references, .. } => write!(
                f,
                "the cluster of the refcount block at offset {block:#x} is shared: it has {references} references"
            ),
            Self::CountsUnreadable { entry_offset, clusters, .. } => write!(
                f,
                "the refcounts of {clusters} clusters cannot be read: the refcount table entry at offset \
                 {entry_offset:#x} points to an invalid block offset"
            ),
            Self::L1Reserved { entry_offset, entry } => {
                write!(f, "the L1 entry {entry:#x} at offset {entry_offset:#x} has reserved bits set")
            }
            Self::L1WithoutTable { entry_offset, entry } => {
                write!(f, "the L1 entry {entry:#x} at offset {entry_offset:#x} has flags but no L2 table")
            }
            Self::L2TableUnaligned { entry_offset, table } => write!(
                f,
                "the L1 entry at offset {entry_offset:#x} points to {table:#x}, which is not the beginning of a cluster"
            ),
            Self::L1Copied { entry_offset, table, flag: true } => write!(
                f,
                "the L1 entry at offset {entry_offset:#x} has the COPIED flag for the L2 table at {table:#x}, but the refcount \
                 is not 1"
            ),
            Self::L1Copied { entry_offset, table, flag: false } => write!(
                f,
                "the L1 entry at offset {entry_offset:#x} lacks the COPIED flag for the L2 table at {table:#x}, but the \
                 refcount is 1"
            ),
            Self::L2Copied { entry_offset, cluster, flag: true } => write!(
                f,
                "the L2 entry at offset {entry_offset:#x} has the COPIED flag for the cluster at {cluster:#x}, but the \
                 refcount is not 1"
            ),
            Self::L2Copied { entry_offset, cluster, flag: false } => write!(
                f,
                "the L2 entry at offset {entry_offset:#x} lacks the COPIED flag for the cluster at {cluster:#x}, but the \
                 refcount is 1"
            ),
            Self::L2Reserved { entry_offset, entry } => {
                write!(f, "the L2 entry {entry:#x} at offset {entry_offset:#x} has reserved bits set")
            }
            Self::ClusterUnaligned { entry_offset, cluster, data } => write!(
                f,
                "the L2 entry at offset {entry_offset:#x} points to {cluster:#x}, which is not the beginning of a cluster; \
                 {}",
                if data { "its data is lost" } else { "the cluster reads as zeros in any case" }
            ),
            Self::Subclusters { entry_offset, bitmap } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} has the invalid subcluster bitmap {bitmap:#018x}"
                )
            }
            Self::CompressedCopied { entry_offset } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} has the COPIED flag, but its cluster is compressed"
                )
            }
            Self::CompressedBitmap { entry_offset, bitmap } => write!(
                f,
                "the L2 entry at offset {entry_offset:#x} has the subcluster bitmap {bitmap:#018x}, but its cluster is \
                 compressed"
            ),
            Self::CompressedWithDataFile { entry_offset } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} is compressed, but the data is in an external data file"
                )
            }
            Self::ZeroInVersion2 { entry_offset } => {
                write!(f, "the L2 entry at offset {entry_offset:#x} has the zero flag, which version 2 does not have")
            }
            Self::SnapshotTable { offset, entries } => {
                write!(f, "the snapshot table cannot be read: {entries} entries at offset {offset:#x} are not valid")
            }
            Self::SnapshotTableTooLong { offset, index } => {
                write!(f, "the snapshot table at offset {offset:#x} is too long from entry {index}")
            }
            Self::SnapshotExtraData { offset, index, length } => write!(
                f,
                "entry {index} of the snapshot table, at offset {offset:#x}, cannot have {length} bytes of extra data"
            ),
            Self::SnapshotIncomplete { offset, index, length } => write!(
                f,
                "entry {index} of the snapshot table, at offset {offset:#x}, has {length} bytes of extra data; version 3 \
                 requires 16"
            ),
            Self::SnapshotL1Unaligned { offset, index, l1_table } => write!(
                f,
                "entry {index} of the snapshot table, at offset {offset:#x}, has its L1 table at {l1_table:#x}, which is not \
                 the beginning of a cluster"
            ),
            Self::SnapshotL1TooLarge { offset, index, entries } => write!(
                f,
                "entry {index} of the snapshot table, at offset {offset:#x}, has an L1 table of {entries} entries, which is \
                 too large"
            ),
            Self::SnapshotsWithDataFile { snapshots, .. } => {
                write!(f, "the image has {snapshots} snapshots, but its data is in an external data file")
            }
            Self::ExtensionEnd { offset, length } => write!(
                f,
                "the marker at offset {offset:#x} that ends the header extensions has a length of {length} bytes; QEMU refuses \
                 the image"
            ),
            Self::RawWithoutDataFile { .. } => f.write_str(
                "the feature bit of a raw external data file is set, but the image has no external data file; QEMU refuses it",
            ),
            Self::UnusedCryptoHeader { offset } => write!(
                f,
                "the header extension at offset {offset:#x} points to a LUKS header, but the image is not encrypted with LUKS; \
                 QEMU refuses it"
            ),
            Self::BitmapDirectory { offset } => {
                write!(f, "the bitmap directory at offset {offset:#x} is corrupt")
            }
            Self::BitmapTableEntry { entry_offset, entry } => {
                write!(f, "the bitmap table entry {entry:#x} at offset {entry_offset:#x} is not valid")
            }
        }
    }
}
