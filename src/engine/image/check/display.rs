//! What the findings of a check are in words.

use core::fmt;

use super::finding::Finding;

impl fmt::Display for Finding {
    #[expect(clippy::too_many_lines, reason = "one sentence a variant")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Leaked { offset, count, references } => write!(
                f,
                "the cluster at offset {offset:#x} is lost space: its reference count is {count}, but {references} refer to it"
            ),
            Self::CountTooLow { offset, count, references } => write!(
                f,
                "the cluster at offset {offset:#x} may be overwritten: its reference count is {count}, but {references} refer \
                 to it"
            ),
            Self::CountOverflow { offset, limit, references } => write!(
                f,
                "{references} refer to the cluster at offset {offset:#x}, but a count of this image holds {limit} at most"
            ),
            Self::PastEnd { place, offset, length, .. } => write!(
                f,
                "what is recorded at offset {place:#x} should be {length} bytes at {offset:#x}, past the end of the file"
            ),
            Self::RefcountEntryReserved { entry_offset, entry } => {
                write!(f, "the refcount table entry {entry:#x} at offset {entry_offset:#x} has reserved bits set")
            }
            Self::RefcountBlockUnaligned { entry_offset, block } => write!(
                f,
                "the refcount table entry at offset {entry_offset:#x} points to {block:#x}, which is not the beginning of a \
                 cluster"
            ),
            Self::CutOff { place, file_size, references, .. } => write!(
                f,
                "{references} tables or clusters, the first of them recorded at offset {place:#x}, should lie past the end of \
                 the file at {file_size:#x}; it is probably cut off"
            ),
            Self::RefcountBlockPastEnd { entry_offset, block } => write!(
                f,
                "the refcount table entry at offset {entry_offset:#x} points to {block:#x}, past the end of the file"
            ),
            Self::RefcountBlockShared { block, references, .. } => write!(
                f,
                "the cluster of the refcount block at offset {block:#x} holds something else as well: {references} refer to it"
            ),
            Self::CountsUnreadable { entry_offset, clusters, .. } => write!(
                f,
                "the reference counts of {clusters} clusters can't be read: the refcount table entry at offset \
                 {entry_offset:#x} points where no block can be"
            ),
            Self::L1Reserved { entry_offset, entry } => {
                write!(f, "the L1 entry {entry:#x} at offset {entry_offset:#x} has reserved bits set")
            }
            Self::L1WithoutTable { entry_offset, entry } => {
                write!(f, "the L1 entry {entry:#x} at offset {entry_offset:#x} has flags, but no L2 table")
            }
            Self::L2TableUnaligned { entry_offset, table } => write!(
                f,
                "the L1 entry at offset {entry_offset:#x} points to {table:#x}, which is not the beginning of a cluster"
            ),
            Self::L1Copied { entry_offset, table, flag: true } => write!(
                f,
                "the L1 entry at offset {entry_offset:#x} says that nothing else refers to the L2 table at {table:#x}, but its \
                 reference count is not 1"
            ),
            Self::L1Copied { entry_offset, table, flag: false } => write!(
                f,
                "the L1 entry at offset {entry_offset:#x} says that something else refers to the L2 table at {table:#x} too, \
                 but its reference count is 1"
            ),
            Self::L2Copied { entry_offset, cluster, flag: true } => write!(
                f,
                "the L2 entry at offset {entry_offset:#x} says that nothing else refers to the cluster at {cluster:#x}, but \
                 its reference count is not 1"
            ),
            Self::L2Copied { entry_offset, cluster, flag: false } => write!(
                f,
                "the L2 entry at offset {entry_offset:#x} says that something else refers to the cluster at {cluster:#x} too, \
                 but its reference count is 1"
            ),
            Self::L2Reserved { entry_offset, entry } => {
                write!(f, "the L2 entry {entry:#x} at offset {entry_offset:#x} has reserved bits set")
            }
            Self::ClusterUnaligned { entry_offset, cluster, data } => write!(
                f,
                "the L2 entry at offset {entry_offset:#x} points to {cluster:#x}, which is not the beginning of a cluster; \
                 {}",
                if data { "its data are lost" } else { "it is zeros in any case" }
            ),
            Self::Subclusters { entry_offset, bitmap } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} has the impossible subcluster bitmap {bitmap:#018x}"
                )
            }
            Self::CompressedCopied { entry_offset } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} has the COPIED flag, though its cluster is compressed"
                )
            }
            Self::CompressedBitmap { entry_offset, bitmap } => write!(
                f,
                "the L2 entry at offset {entry_offset:#x} has the subcluster bitmap {bitmap:#018x}, though its cluster is \
                 compressed"
            ),
            Self::CompressedWithDataFile { entry_offset } => {
                write!(
                    f,
                    "the L2 entry at offset {entry_offset:#x} is compressed, though the data are in an external file"
                )
            }
            Self::ZeroInVersion2 { entry_offset } => {
                write!(f, "the L2 entry at offset {entry_offset:#x} has the zero flag, which version 2 doesn't have")
            }
            Self::SnapshotTable { offset, entries } => {
                write!(f, "the snapshot table can't be read: {entries} entries at offset {offset:#x} can't be")
            }
            Self::SnapshotTableTooLong { offset, index } => {
                write!(f, "the snapshot table at offset {offset:#x} is too long, from entry {index} on")
            }
            Self::SnapshotExtraData { offset, index, length } => write!(
                f,
                "entry {index} of the snapshot table, at offset {offset:#x}, can't have {length} bytes of extra data"
            ),
            Self::SnapshotIncomplete { offset, index, length } => write!(
                f,
                "entry {index} of the snapshot table, at offset {offset:#x}, has {length} bytes of extra data; version 3 \
                 requires 16"
            ),
            Self::SnapshotL1Unaligned { offset, index, l1_table } => write!(
                f,
                "entry {index} of the snapshot table, at offset {offset:#x}, puts its L1 table at {l1_table:#x}, which is not \
                 the beginning of a cluster"
            ),
            Self::SnapshotL1TooLarge { offset, index, entries } => write!(
                f,
                "entry {index} of the snapshot table, at offset {offset:#x}, gives its L1 table {entries} entries, which is \
                 too much"
            ),
            Self::SnapshotsWithDataFile { snapshots, .. } => {
                write!(f, "the image has {snapshots} snapshots, though its data are in an external file")
            }
            Self::ExtensionEnd { offset, length } => write!(
                f,
                "the marker at offset {offset:#x} that ends the header extensions has a length, of {length} bytes, which makes \
                 QEMU refuse the image"
            ),
            Self::RawWithoutDataFile { .. } => f.write_str(
                "the feature bit of a raw external data file is set, but the image has no external data file; QEMU refuses it",
            ),
            Self::UnusedCryptoHeader { offset } => write!(
                f,
                "the header extension at offset {offset:#x} says where a LUKS header is, but the image is not encrypted by LUKS; \
                 QEMU refuses it"
            ),
            Self::BitmapDirectory { offset } => {
                write!(f, "the directory of the bitmaps at offset {offset:#x} is broken")
            }
            Self::BitmapTableEntry { entry_offset, entry } => {
                write!(f, "the entry {entry:#x} of a bitmap's table, at offset {entry_offset:#x}, can't be")
            }
        }
    }
}
