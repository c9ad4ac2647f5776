use alloc::string::String;
use core::fmt;

use super::create::CreateFault;
use super::quoted::Quoted;

/// A request that can't be carried out, although the image is sound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// A range reaches past the end of the disk (or of the VM state).
    OutOfBounds {
        /// The offset of the range on the disk (or in the VM state), in bytes.
        offset: u64,
        /// The length of the range in bytes.
        length: u64,
        /// The size of the disk (or of the VM state) in bytes.
        size: u64,
    },
    /// No snapshot has this id or name.
    NoSuchSnapshot {
        /// The requested id or name.
        selector: String,
    },
    /// A data file was supplied for an image that has none.
    UnneededDataFile,
    /// An image can't be created with the given options.
    Create(CreateFault),
    /// A compressed write does not consist of whole clusters.
    UnalignedCompressedWrite {
        /// The offset of the write on the disk, in bytes.
        offset: u64,
        /// The length of the write in bytes.
        length: u64,
    },
    /// A compressed write to an image with an external data file, which can't hold compressed clusters.
    CompressedDataFile,
    /// A compressed write to an encrypted image: compressed clusters can't be encrypted.
    CompressedEncryption,
    /// This passphrase opens no key slot of the image.
    WrongPassphrase,
    /// No source of random bytes is available.
    NoEntropy,
    /// The image has no key slots, because it is not encrypted by LUKS.
    NoKeySlots,
    /// All key slots are active.
    KeySlotsFull,
    /// The image has no such key slot.
    NoSuchKeySlot {
        /// The requested number.
        slot: usize,
    },
    /// The key slot holds a passphrase already.
    KeySlotInUse {
        /// The number of the slot, from 0.
        slot: usize,
    },
    /// The last active key slot can't be erased: without it, no passphrase opens the image any more.
    LastKeySlot,
    /// A write to an image that was opened for reading, or to a snapshot.
    ReadOnly,
    /// The image is marked as corrupt. It can be read, but must be repaired before it is written.
    MarkedCorrupt,
    /// A write after a failed flush. It is unknown which writes are durable. Open the image again.
    Poisoned,
    /// The image has no room for more clusters: the largest host offset or refcount table is reached.
    ImageFull,
    /// The caller's progress callback cancelled the operation.
    Cancelled,
    /// The image can't be downgraded to version 2, because it uses this feature.
    UsesVersion3(&'static str),
    /// A cluster has more references than a refcount of the requested width can count.
    RefcountOverflow {
        /// The host offset of the cluster, in bytes.
        offset: u64,
        /// The number of references.
        count: u64,
        /// The largest refcount.
        limit: u64,
    },
    /// The image is corrupt, as a check reports. Repair it first.
    NeedsRepair,
    /// A cluster would have more references than its refcount can count: snapshots need wider refcounts.
    TooManyReferences {
        /// The width of the refcounts in bits.
        bits: u32,
    },
    /// A snapshot can't be deleted while it is open.
    SnapshotInUse {
        /// The id of the snapshot.
        id: String,
    },
    /// The image can't have more snapshots, or no larger snapshot table.
    TooManySnapshots,
    /// A snapshot's name has more than 255 bytes.
    SnapshotNameTooLong(usize),
    /// An image with an external data file can't have snapshots.
    SnapshotsWithDataFile,
    /// The disk would shrink, which must be allowed explicitly.
    WouldShrink {
        /// The requested size, in bytes.
        size: u64,
        /// The current size, in bytes.
        current: u64,
    },
    /// The disk would be too large for the cluster size.
    DiskTooLarge {
        /// The requested size, in bytes.
        size: u64,
        /// The largest size, in bytes.
        largest: u64,
    },
    /// An image of version 2 with snapshots can't be resized, because its snapshots don't record their disk size.
    ResizeNeedsVersion3,
    /// A request for a bitmap can't be carried out.
    Bitmap {
        /// The name of the bitmap.
        name: String,
        /// The reason.
        problem: BitmapProblem,
    },
    /// The backing file can't be removed, because the disk or a snapshot may need it.
    BackingNeeded,
    /// The disk can't grow while the image is open without its backing file.
    ///
    /// The contents of that file past the current end of the disk would become visible.
    GrowNeedsBacking,
    /// The format defines this type of header extension, so its data can't be set directly.
    KnownExtension {
        /// The type of the extension.
        kind: u32,
    },
}

/// The reason why a request for a bitmap can't be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BitmapProblem {
    /// No bitmap has this name.
    Missing,
    /// A bitmap with this name exists already.
    Exists,
    /// The bitmap was not stored when the image was last written, and can only be deleted.
    Inconsistent,
    /// The bitmap can't be created, for this reason.
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
            Self::KeySlotInUse { .. } => "KEY_SLOT_IN_USE",
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
            | Self::KeySlotInUse { .. }
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
                write!(f, "{length} bytes at offset {offset} reach past the end at {size} bytes")
            }
            Self::NoSuchSnapshot { selector } => {
                write!(f, "the image has no snapshot with the id or name {selector}", selector = Quoted(selector))
            }
            Self::Create(fault) => fault.fmt(f),
            Self::UnalignedCompressedWrite { offset, length } => {
                write!(f, "a compressed write needs whole clusters, not {length} bytes at offset {offset}")
            }
            Self::CompressedDataFile => f.write_str("an external data file can't hold compressed clusters"),
            Self::CompressedEncryption => f.write_str("an encrypted image can't hold compressed clusters"),
            Self::NoEntropy => f.write_str("no random bytes are available to create a key"),
            Self::NoKeySlots => f.write_str("the image has no key slots, because it is not encrypted by LUKS"),
            Self::KeySlotsFull => f.write_str("all key slots are in use; erase one first"),
            Self::NoSuchKeySlot { slot } => write!(f, "the image has no key slot {slot}"),
            Self::KeySlotInUse { slot } => write!(f, "key slot {slot} is in use; erase it first"),
            Self::LastKeySlot => f.write_str(
                "the last key slot in use can't be erased: without it, no passphrase opens the image any more",
            ),
            Self::WrongPassphrase => f.write_str("the passphrase is wrong"),
            Self::ReadOnly => f.write_str("the image is open for reading only"),
            Self::MarkedCorrupt => f.write_str("the image is marked as corrupt; repair it before writing to it"),
            Self::Poisoned => f.write_str("an earlier flush failed, so it is unknown which writes are durable; open the image again before writing to it"),
            Self::ImageFull => f.write_str("the image has no room for more clusters of this size"),
            Self::Cancelled => f.write_str("the caller cancelled the operation"),
            Self::UsesVersion3(what) => write!(f, "the image uses a feature that version 2 doesn't have: {what}"),
            Self::RefcountOverflow { offset, count, limit } => write!(
                f,
                "the cluster at offset {offset:#x} has {count} references, but a refcount of this width is at most {limit}"
            ),
            Self::NeedsRepair => f.write_str("the image is corrupt; repair it first"),
            Self::TooManyReferences { bits } => {
                write!(f, "refcounts of {bits} bits can't count more snapshots; amend the image to wider refcounts first")
            }
            Self::SnapshotInUse { id } => write!(f, "the snapshot with the id {id} is open; close it first", id = Quoted(id)),
            Self::TooManySnapshots => f.write_str("the image can't have more snapshots; delete one first"),
            Self::SnapshotNameTooLong(length) => {
                write!(f, "a snapshot's name has at most 255 bytes, not {length}")
            }
            Self::SnapshotsWithDataFile => f.write_str("an image with an external data file can't have snapshots"),
            Self::WouldShrink { size, current } => {
                write!(
                    f,
                    "a disk of {size} bytes is smaller than the current one ({current} bytes): the data past the new end would be lost"
                )
            }
            Self::DiskTooLarge { size, largest } => {
                write!(f, "a disk of {size} bytes is too large for this cluster size; the largest is {largest} bytes")
            }
            Self::ResizeNeedsVersion3 => {
                f.write_str("an image of version 2 that has snapshots can't be resized; upgrade it to version 3")
            }
            Self::KnownExtension { kind } => write!(
                f,
                "the format defines header extension {kind:#x}; only extensions of other types can be set"
            ),
            Self::BackingNeeded => {
                f.write_str("the backing file can't be removed, because the disk or a snapshot may need it")
            }
            Self::GrowNeedsBacking => f.write_str(
                "the image is open without its backing file, whose contents would become visible where the disk grows; open \
                 the image with its backing file, or remove the backing file first",
            ),
            Self::Bitmap { name, problem } => match problem {
                BitmapProblem::Missing => write!(f, "the image has no bitmap {name}", name = Quoted(name)),
                BitmapProblem::Exists => write!(f, "the image already has a bitmap {name}", name = Quoted(name)),
                BitmapProblem::Inconsistent => {
                    write!(f, "the bitmap {name} was not stored when the image was last written; it can only be deleted", name = Quoted(name))
                }
                BitmapProblem::Invalid(why) => write!(f, "the bitmap {name} can't be created: {why}", name = Quoted(name)),
            },
            Self::UnneededDataFile => f.write_str("a data file was supplied, but the image has no external data file"),
        }
    }
}

impl From<CreateFault> for Misuse {
    fn from(fault: CreateFault) -> Self {
        Self::Create(fault)
    }
}
