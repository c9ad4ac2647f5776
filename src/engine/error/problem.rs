use core::fmt;

use super::corrupt::{Corrupt, HeaderTable};
use super::unsupported::Unsupported;

/// A property of an image that prevents opening it, or reading all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The image breaks the rules of the format.
    Corrupt(Corrupt),
    /// This crate doesn't support the image.
    Unsupported(Unsupported),
}

impl Problem {
    /// Returns a stable name of the kind of problem, like [`Error::code`](crate::Error::code).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Corrupt(corrupt) => corrupt.code(),
            Self::Unsupported(unsupported) => unsupported.code(),
        }
    }

    /// Returns the host offset of the problem, in bytes.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Corrupt(corrupt) => corrupt.offset(),
            Self::Unsupported(_) => None,
        }
    }
}

impl Problem {
    /// Returns whether the active disk is still readable, because reading it doesn't need the corrupt data.
    ///
    /// For a header extension that can't be parsed, this depends on the image, so this returns false.
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
