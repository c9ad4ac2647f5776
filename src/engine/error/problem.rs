use core::fmt;

use super::corrupt::{Corrupt, HeaderTable};
use super::unsupported::Unsupported;

/// Something about an image that keeps it from being opened, or read in full.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The image breaks the rules of the format.
    Corrupt(Corrupt),
    /// The image is not one that this crate reads.
    Unsupported(Unsupported),
}

impl Problem {
    /// A stable name of the kind of problem, as [`Error::code`](crate::Error::code) gives it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Corrupt(corrupt) => corrupt.code(),
            Self::Unsupported(unsupported) => unsupported.code(),
        }
    }

    /// The place that the problem is about: a byte offset in the file.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Corrupt(corrupt) => corrupt.offset(),
            Self::Unsupported(_) => None,
        }
    }
}

impl Problem {
    /// The active disk can be read all the same: nothing that reads it needs what is wrong.
    ///
    /// Of a header extension that can't be read this depends on the image, so it is not told here.
    pub(crate) fn leaves_the_disk_readable(&self) -> bool {
        matches!(
            self,
            Self::Corrupt(
                Corrupt::NoRefcountTable
                    | Corrupt::RawWithoutDataFile
                    | Corrupt::ExtensionEnd { .. }
                    | Corrupt::RefcountOrder { .. }
                    | Corrupt::TableUnaligned { table: HeaderTable::Refcounts | HeaderTable::Snapshots, .. }
                    | Corrupt::TableTooLarge { table: HeaderTable::Refcounts | HeaderTable::Snapshots, .. }
            )
        )
    }
}

impl From<Corrupt> for Problem {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl From<Unsupported> for Problem {
    fn from(unsupported: Unsupported) -> Self {
        Self::Unsupported(unsupported)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt(corrupt) => corrupt.fmt(f),
            Self::Unsupported(unsupported) => unsupported.fmt(f),
        }
    }
}
