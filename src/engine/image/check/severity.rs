//! The severity of a finding, and its remedy.

use super::finding::Finding;
use crate::field;

/// The severity of a [`Finding`], in the categories of `qemu-img check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Clusters are leaked, nothing worse.
    Leak,
    /// Data is lost already, or may be lost when the image is written.
    Corruption,
    /// A part of the image could not be checked.
    CheckError,
}

/// The effect of repairing a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The cluster only has to be freed.
    Free,
    /// The repair keeps everything that can be read.
    Lossless,
    /// The repair drops data that cannot be read any more, or chooses between two interpretations.
    Loss,
}

impl Finding {
    /// Returns the category of `qemu-img check` that counts this finding.
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

    /// Returns the effect of its repair.
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

    /// Whether the finding may hide references to clusters in use, so that nothing can be freed.
    pub(crate) fn hides_references(&self) -> bool {
        self.remedy() == Remedy::Loss || matches!(self, Self::CompressedBitmap { .. })
    }

    /// Whether the refcount structure cannot be repaired in place.
    pub(crate) fn needs_rebuild(&self) -> bool {
        match self {
            Self::PastEnd { reference_offset, .. } => *reference_offset == field::REFCOUNT_TABLE_OFFSET,
            // There may be no block for the refcount.
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

    /// Whether the finding concerns only refcounts and flags of clusters.
    pub(crate) fn is_of_counts(&self) -> bool {
        self.needs_rebuild()
            || matches!(
                self,
                Self::Leaked { .. } | Self::CountTooLow { .. } | Self::L1Copied { .. } | Self::L2Copied { .. }
            )
    }

    /// The number of findings of `qemu-img check` that this one stands for.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::CountOverflow { limit, references, .. } => references - limit,
            Self::CountsUnreadable { clusters, .. } => *clusters,
            Self::CutOff { references, .. } => *references,
            _ => 1,
        }
    }
}
