use alloc::string::String;
use core::fmt;

use super::create::CreateFault;

/// The caller asked for what can't be; the image is fine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// A range that reaches past the end of what it addresses.
    OutOfBounds {
        /// Where the range begins, in bytes of the disk (or of the VM state).
        offset: u64,
        /// The range's length in bytes.
        length: u64,
        /// How many bytes there are.
        size: u64,
    },
    /// No snapshot has this id or name.
    NoSuchSnapshot {
        /// What was asked for.
        selector: String,
    },
    /// A data file was supplied for an image that has none.
    UnneededDataFile,
    /// An image can't be created as asked.
    Create(CreateFault),
    /// A compressed write that is not of whole clusters.
    UnalignedCompressedWrite {
        /// Where it begins on the disk, in bytes.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// A compressed write to an image with an external data file, which holds no compressed clusters.
    CompressedDataFile,
    /// A compressed write to an encrypted image: compressed clusters can't be encrypted.
    CompressedEncryption,
    /// No key slot of the image is opened by this passphrase.
    WrongPassphrase,
    /// The source of random bytes had none.
    NoEntropy,
    /// Key slots of an image that has none: one that is not encrypted by LUKS.
    NoKeySlots,
    /// All key slots are active.
    KeySlotsFull,
    /// The image has no such key slot.
    NoSuchKeySlot {
        /// Its number.
        slot: usize,
    },
    /// The only key slot that is active: without it, nothing opens the image any more.
    LastKeySlot,
    /// A write to an image that was opened for reading, or to a snapshot.
    ReadOnly,
    /// The image is marked as corrupt: it can be read, and has to be repaired before it is written.
    MarkedCorrupt,
    /// A write after a barrier that failed: what is durable is not known. Open the image again.
    Poisoned,
    /// The format can't hold more clusters, or the refcount table can't count them.
    ImageFull,
    /// The caller's progress callback ended it.
    Cancelled,
    /// The image can't be made one of version 2, for it uses this.
    UsesVersion3(&'static str),
    /// A cluster is referred to more often than a count of that width can hold.
    RefcountOverflow {
        /// Where the cluster begins, in bytes of the image file.
        offset: u64,
        /// How often it is referred to.
        count: u64,
        /// The largest count.
        limit: u64,
    },
    /// A check finds the image corrupt; repair it first.
    NeedsRepair,
    /// A cluster would have more references than its count can hold: snapshots need wider counts.
    TooManyReferences {
        /// The width of the counts in bits.
        bits: u32,
    },
    /// A snapshot that is to be deleted, but is open to be read.
    SnapshotInUse {
        /// Its id.
        id: String,
    },
    /// The format can't hold more snapshots, or no larger table of them.
    TooManySnapshots,
    /// A snapshot's name has more than 255 bytes.
    SnapshotNameTooLong(usize),
    /// An image with an external data file can't have snapshots.
    SnapshotsWithDataFile,
    /// A disk that is to become smaller, which has to be asked for.
    WouldShrink {
        /// The size that was asked for, in bytes.
        size: u64,
        /// The size that the disk has.
        current: u64,
    },
    /// A disk larger than clusters of this size can map.
    DiskTooLarge {
        /// The size that was asked for, in bytes.
        size: u64,
        /// The largest one.
        largest: u64,
    },
    /// The disk of an image of version 2 with snapshots can't get another size, for they don't record theirs.
    ResizeNeedsVersion3,
    /// A bitmap can't be used as asked.
    Bitmap {
        /// Its name.
        name: String,
        /// Why.
        problem: BitmapProblem,
    },
    /// The backing file can't be given up: a part of the disk, or a snapshot, may need it.
    BackingNeeded,
    /// The disk can't grow while the image is open without the backing file that it names: what that file holds behind the end
    /// of the disk would show.
    GrowNeedsBacking,
    /// A header extension of this type has a meaning in the format, so it cannot be set as mere bytes.
    KnownExtension {
        /// The type.
        kind: u32,
    },
}

/// Why a bitmap can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BitmapProblem {
    /// There is none of this name.
    Missing,
    /// There is one of this name already.
    Exists,
    /// It was not stored when the image was last written, and can only be deleted.
    Inconsistent,
    /// It can't be made, for this reason.
    Invalid(&'static str),
}

impl Misuse {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::OutOfBounds { .. } => "OUT_OF_BOUNDS",
            Self::NoSuchSnapshot { .. } => "NO_SUCH_SNAPSHOT",
            Self::UnneededDataFile => "UNNEEDED_DATA_FILE",
            Self::Create(_) | Self::UsesVersion3(_) | Self::KnownExtension { .. } => "BAD_OPTIONS",
            Self::UnalignedCompressedWrite { .. } => "UNALIGNED",
            Self::CompressedDataFile | Self::CompressedEncryption => "NO_COMPRESSION",
            Self::WrongPassphrase => "WRONG_PASSPHRASE",
            Self::NoEntropy => "NO_ENTROPY",
            Self::NoKeySlots | Self::NoSuchKeySlot { .. } => "NO_SUCH_KEY_SLOT",
            Self::KeySlotsFull => "KEY_SLOTS_FULL",
            Self::LastKeySlot => "LAST_KEY_SLOT",
            Self::ReadOnly => "READ_ONLY",
            Self::MarkedCorrupt => "MARKED_CORRUPT",
            Self::Poisoned => "POISONED",
            Self::ImageFull => "IMAGE_FULL",
            Self::Cancelled => "CANCELLED",
            Self::RefcountOverflow { .. } => "REFCOUNT_OVERFLOW",
            Self::NeedsRepair => "NEEDS_REPAIR",
            Self::TooManyReferences { .. } => "REFCOUNT_LIMIT",
            Self::SnapshotInUse { .. } => "SNAPSHOT_IN_USE",
            Self::TooManySnapshots => "TOO_MANY_SNAPSHOTS",
            Self::SnapshotNameTooLong(_) => "BAD_SNAPSHOT_NAME",
            Self::SnapshotsWithDataFile => "NO_SNAPSHOTS",
            Self::WouldShrink { .. } => "WOULD_SHRINK",
            Self::DiskTooLarge { .. } => "DISK_TOO_LARGE",
            Self::ResizeNeedsVersion3 => "RESIZE_NEEDS_VERSION_3",
            Self::BackingNeeded | Self::GrowNeedsBacking => "BACKING_NEEDED",
            Self::Bitmap { problem, .. } => match problem {
                BitmapProblem::Missing => "NO_SUCH_BITMAP",
                BitmapProblem::Exists => "BITMAP_EXISTS",
                BitmapProblem::Inconsistent => "BITMAP_INCONSISTENT",
                BitmapProblem::Invalid(_) => "BAD_BITMAP",
            },
        }
    }

    pub(super) fn offset(&self) -> Option<u64> {
        match self {
            Self::OutOfBounds { offset, .. } | Self::UnalignedCompressedWrite { offset, .. } => Some(*offset),
            Self::NoSuchSnapshot { .. }
            | Self::UnneededDataFile
            | Self::Create(_)
            | Self::CompressedDataFile
            | Self::CompressedEncryption
            | Self::WrongPassphrase
            | Self::NoEntropy
            | Self::NoKeySlots
            | Self::KeySlotsFull
            | Self::NoSuchKeySlot { .. }
            | Self::LastKeySlot
            | Self::ReadOnly
            | Self::MarkedCorrupt
            | Self::Poisoned
            | Self::ImageFull
            | Self::UsesVersion3(_)
            | Self::RefcountOverflow { .. }
            | Self::NeedsRepair
            | Self::Cancelled
            | Self::TooManyReferences { .. }
            | Self::SnapshotInUse { .. }
            | Self::TooManySnapshots
            | Self::SnapshotNameTooLong(_)
            | Self::SnapshotsWithDataFile
            | Self::WouldShrink { .. }
            | Self::DiskTooLarge { .. }
            | Self::ResizeNeedsVersion3
            | Self::BackingNeeded
            | Self::Bitmap { .. }
            | Self::GrowNeedsBacking
            | Self::KnownExtension { .. } => None,
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds { offset, length, size } => {
                write!(f, "{length} bytes at offset {offset} reach past the end: there are {size} bytes")
            }
            Self::NoSuchSnapshot { selector } => {
                write!(f, "the image has no snapshot with the id or name {selector:?}")
            }
            Self::Create(fault) => fault.fmt(f),
            Self::UnalignedCompressedWrite { offset, length } => {
                write!(f, "{length} bytes at offset {offset} are not whole clusters, which a compressed write takes")
            }
            Self::CompressedDataFile => f.write_str("an external data file can't hold compressed clusters"),
            Self::CompressedEncryption => f.write_str("an encrypted image can't hold compressed clusters"),
            Self::NoEntropy => f.write_str("there are no random bytes to make a key of"),
            Self::NoKeySlots => f.write_str("the image has no key slots, for it is not encrypted by LUKS"),
            Self::KeySlotsFull => f.write_str("all key slots are in use; erase one first"),
            Self::NoSuchKeySlot { slot } => write!(f, "there is no key slot {slot}"),
            Self::LastKeySlot => {
                f.write_str("it is the last key slot in use: without it, nothing opens the image any more")
            }
            Self::WrongPassphrase => f.write_str("the passphrase is wrong"),
            Self::ReadOnly => f.write_str("the image is open for reading only"),
            Self::MarkedCorrupt => f.write_str("the image is marked as corrupt; repair it before writing to it"),
            Self::Poisoned => f.write_str("an earlier flush failed, so what is durable is not known; open the image again before writing to it"),
            Self::ImageFull => f.write_str("the format can't hold more clusters of this size"),
            Self::Cancelled => f.write_str("it was ended by the caller"),
            Self::UsesVersion3(what) => write!(f, "version 2 of the format doesn't have what the image uses: {what}"),
            Self::RefcountOverflow { offset, count, limit } => write!(
                f,
                "{count} refer to the cluster at offset {offset:#x}, but a reference count would hold {limit} at most"
            ),
            Self::NeedsRepair => f.write_str("the image is corrupt; repair it first"),
            Self::TooManyReferences { bits } => {
                write!(f, "reference counts of {bits} bits can't count more snapshots; the image needs wider ones")
            }
            Self::SnapshotInUse { id } => write!(f, "the snapshot with the id {id:?} is open; close it first"),
            Self::TooManySnapshots => f.write_str("the image can't hold more snapshots"),
            Self::SnapshotNameTooLong(length) => {
                write!(f, "a snapshot's name has at most 255 bytes, not {length}")
            }
            Self::SnapshotsWithDataFile => f.write_str("an image with an external data file can't have snapshots"),
            Self::WouldShrink { size, current } => {
                write!(f, "a disk of {size} bytes is smaller than now ({current}): what is behind it would be lost")
            }
            Self::DiskTooLarge { size, largest } => {
                write!(f, "a disk of {size} bytes is too large for clusters of this size: at most {largest}")
            }
            Self::ResizeNeedsVersion3 => {
                f.write_str("an image of version 2 that has snapshots can't be resized; upgrade it to version 3")
            }
            Self::KnownExtension { kind } => write!(
                f,
                "header extension {kind:#x} has a meaning in the format; only extensions of other types can be set"
            ),
            Self::BackingNeeded => {
                f.write_str("a part of the disk, or a snapshot, may need the backing file; so its name stays")
            }
            Self::GrowNeedsBacking => f.write_str(
                "the image is open without its backing file, whose contents would show where the disk grows; open it with the \
                 backing file, or remove that file's name first",
            ),
            Self::Bitmap { name, problem } => match problem {
                BitmapProblem::Missing => write!(f, "the image has no bitmap {name:?}"),
                BitmapProblem::Exists => write!(f, "the image has a bitmap {name:?} already"),
                BitmapProblem::Inconsistent => {
                    write!(f, "the bitmap {name:?} was not stored when the image was last written: it can only be deleted")
                }
                BitmapProblem::Invalid(why) => write!(f, "the bitmap {name:?} can't be made: {why}"),
            },
            Self::UnneededDataFile => f.write_str("a data file was supplied, but the image keeps its data in itself"),
        }
    }
}

impl From<CreateFault> for Misuse {
    fn from(fault: CreateFault) -> Self {
        Self::Create(fault)
    }
}
