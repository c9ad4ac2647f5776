//! How bad a finding is, and what mends it.

use super::finding::Finding;
use crate::field;

/// How bad a [`Finding`] is, in the categories of `qemu-img check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Space is lost, nothing else.
    Leak,
    /// Data are lost already, or may be lost when the image is written.
    Corruption,
    /// Something could not be checked.
    CheckError,
}

/// What it takes to repair a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing but freeing it.
    Free,
    /// It can be repaired so that what can be read stays as it is.
    Lossless,
    /// The repair gives something up that can't be read any more, or decides between two meanings.
    Loss,
}

impl Finding {
    /// The category of `qemu-img check` that it counts in.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Leaked { .. } => Severity::Leak,
            Self::CountsUnreadable { .. }
            | Self::SnapshotTable { .. }
            | Self::SnapshotTableTooLong { .. }
            | Self::SnapshotExtraData { .. } => Severity::CheckError,
            _ => Severity::Corruption,
        }
    }

    /// What its repair takes.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Leaked { .. } => Remedy::Free,
            Self::L2TableUnaligned { .. }
            | Self::PastEnd { lost: true, .. }
            | Self::CutOff { lost: 1.., .. }
            | Self::ClusterUnaligned { data: true, .. }
            | Self::Subclusters { .. }
            | Self::CompressedWithDataFile { .. }
            | Self::ZeroInVersion2 { .. }
            | Self::SnapshotTable { .. }
            | Self::SnapshotTableTooLong { .. }
            | Self::SnapshotExtraData { .. }
            | Self::SnapshotL1Unaligned { .. }
            | Self::SnapshotL1TooLarge { .. }
            | Self::SnapshotsWithDataFile { .. }
            | Self::BitmapDirectory { .. }
            | Self::BitmapTableEntry { .. } => Remedy::Loss,
            _ => Remedy::Lossless,
        }
    }

    /// Something may be in use of which no reference was found because of it, so that nothing can be freed.
    pub(crate) fn hides_references(&self) -> bool {
        self.remedy() == Remedy::Loss || matches!(self, Self::CompressedBitmap { .. })
    }

    /// The refcount structure can't be mended in place.
    pub(crate) fn needs_rebuild(&self) -> bool {
        match self {
            Self::PastEnd { place, .. } => *place == field::REFCOUNT_TABLE_OFFSET,
            // Perhaps there is no block for the count.
            Self::CountTooLow { count, .. } => *count == 0,
            Self::CountOverflow { .. }
            | Self::RefcountEntryReserved { .. }
            | Self::RefcountBlockUnaligned { .. }
            | Self::RefcountBlockPastEnd { .. }
            | Self::RefcountBlockShared { .. }
            | Self::CountsUnreadable { .. } => true,
            _ => false,
        }
    }

    /// Nothing but the counts and flags of clusters is wrong with it.
    pub(crate) fn is_of_counts(&self) -> bool {
        self.needs_rebuild()
            || matches!(
                self,
                Self::Leaked { .. } | Self::CountTooLow { .. } | Self::L1Copied { .. } | Self::L2Copied { .. }
            )
    }

    /// How many findings of `qemu-img check` it is.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::CountOverflow { limit, references, .. } => references - limit,
            Self::CountsUnreadable { clusters, .. } => *clusters,
            Self::CutOff { references, .. } => *references,
            _ => 1,
        }
    }
}
