//! The errors of the engine.

use alloc::boxed::Box;
use core::fmt;

mod corrupt;
mod create;
mod decompress;
mod luks;
mod missing;
mod misuse;
mod problem;
mod quoted;
mod unsupported;

pub use corrupt::{Corrupt, HeaderTable};
pub use create::CreateFault;
pub use decompress::DecompressError;
pub use luks::LuksFault;
pub use missing::Missing;
pub use misuse::{BitmapProblem, Misuse};
pub use problem::Problem;
pub use unsupported::{FileFormat, Unsupported};

/// The reason why an operation on an image failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E> {
    /// The storage failed with this error.
    Storage(E),
    /// The image breaks the rules of the format.
    Corrupt(Corrupt),
    /// This crate doesn't support the image.
    Unsupported(Unsupported),
    /// The image needs another file, or a passphrase, which the caller must supply.
    Missing(Missing),
    /// The request can't be carried out.
    Misuse(Misuse),
    /// The error concerns a file of the backing chain.
    InBacking {
        /// The depth of the file in the chain; 1 is the backing file of the image that was opened.
        depth: u32,
        /// The error there; never another `InBacking`.
        source: Box<Error<E>>,
    },
}

impl<E> Error<E> {
    /// Returns a stable name of the kind of error, in capitals. Programs should compare this.
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

    /// Returns the location of the error: a host offset, or a guest offset for [`Error::Misuse`].
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Corrupt(corrupt) => corrupt.offset(),
            Self::Misuse(misuse) => misuse.offset(),
            Self::InBacking { source, .. } => source.offset(),
            Self::Storage(_) | Self::Unsupported(_) | Self::Missing(_) => None,
        }
    }

    /// Returns the depth in the backing chain of the file with the error; 0 is the image that was opened.
    pub fn depth(&self) -> u32 {
        match self {
            Self::InBacking { depth, .. } => *depth,
            _ => 0,
        }
    }

    /// Returns the error itself, without the depth of its file in the chain.
    pub(crate) fn without_depth(&self) -> &Self {
        match self {
            Self::InBacking { source, .. } => source,
            error => error,
        }
    }

    /// Returns this error as one of the file at `depth` in the chain.
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
