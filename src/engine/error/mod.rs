//! What can go wrong, by whose fault it is.

use alloc::boxed::Box;
use core::fmt;

mod corrupt;
mod create;
mod decompress;
mod luks;
mod missing;
mod misuse;
mod problem;
mod unsupported;

pub use corrupt::{Corrupt, HeaderTable};
pub use create::CreateFault;
pub use decompress::DecompressError;
pub use luks::LuksFault;
pub use missing::Missing;
pub use misuse::{BitmapProblem, Misuse};
pub use problem::Problem;
pub use unsupported::{FileFormat, Unsupported};

/// Why an operation on an image failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E> {
    /// The storage failed, for a reason of its own.
    Storage(E),
    /// The image breaks the rules of the format.
    Corrupt(Corrupt),
    /// The image is not one that this crate reads.
    Unsupported(Unsupported),
    /// The image needs another file, or a passphrase, which the caller has to supply.
    Missing(Missing),
    /// The caller asked for what can't be.
    Misuse(Misuse),
    /// A file of the backing chain is at fault; `depth` 1 is the backing file of the image that was opened.
    InBacking {
        /// How many steps down the chain the file is.
        depth: u32,
        /// What is wrong there; never itself an `InBacking`.
        source: Box<Error<E>>,
    },
}

impl<E> Error<E> {
    /// A stable name of the kind of failure, in capitals: what programs should compare.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Storage(_) => "STORAGE",
            Self::Corrupt(corrupt) => corrupt.code(),
            Self::Unsupported(unsupported) => unsupported.code(),
            Self::Missing(missing) => missing.code(),
            Self::Misuse(misuse) => misuse.code(),
            Self::InBacking { source, .. } => source.code(),
        }
    }

    /// The place that the failure is about: a byte offset in the file, or of the guest's disk for [`Error::Misuse`].
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Corrupt(corrupt) => corrupt.offset(),
            Self::Misuse(misuse) => misuse.offset(),
            Self::InBacking { source, .. } => source.offset(),
            Self::Storage(_) | Self::Unsupported(_) | Self::Missing(_) => None,
        }
    }

    /// How many steps down the backing chain the file at fault is; 0 is the image that was opened.
    pub fn depth(&self) -> u32 {
        match self {
            Self::InBacking { depth, .. } => *depth,
            _ => 0,
        }
    }

    /// What is wrong, whichever file of the chain is at fault.
    pub(crate) fn without_depth(&self) -> &Self {
        match self {
            Self::InBacking { source, .. } => source,
            error => error,
        }
    }

    /// This error as one of the file `depth` steps down the chain.
    pub(crate) fn at_depth(self, depth: u32) -> Self {
        if depth == 0 { self } else { Self::InBacking { depth, source: Box::new(self) } }
    }
}

impl<E> From<Problem> for Error<E> {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Corrupt(corrupt) => Self::Corrupt(corrupt),
            Problem::Unsupported(unsupported) => Self::Unsupported(unsupported),
        }
    }
}

impl<E> From<Corrupt> for Error<E> {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl<E> From<Unsupported> for Error<E> {
    fn from(unsupported: Unsupported) -> Self {
        Self::Unsupported(unsupported)
    }
}

impl<E> From<Missing> for Error<E> {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl<E> From<CreateFault> for Error<E> {
    fn from(fault: CreateFault) -> Self {
        Self::Misuse(Misuse::Create(fault))
    }
}

impl<E> From<Misuse> for Error<E> {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => write!(f, "the storage failed: {error}"),
            Self::Corrupt(corrupt) => corrupt.fmt(f),
            Self::Unsupported(unsupported) => unsupported.fmt(f),
            Self::Missing(missing) => missing.fmt(f),
            Self::Misuse(misuse) => misuse.fmt(f),
            Self::InBacking { depth, source } => write!(f, "in the backing file at depth {depth}: {source}"),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Storage(error) => Some(error),
            Self::InBacking { source, .. } => Some(source),
            _ => None,
        }
    }
}
