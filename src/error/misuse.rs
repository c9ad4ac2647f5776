use alloc::string::String;
use core::fmt;

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
}

impl Misuse {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::OutOfBounds { .. } => "OUT_OF_BOUNDS",
            Self::NoSuchSnapshot { .. } => "NO_SUCH_SNAPSHOT",
            Self::UnneededDataFile => "UNNEEDED_DATA_FILE",
        }
    }

    pub(super) fn offset(&self) -> Option<u64> {
        match self {
            Self::OutOfBounds { offset, .. } => Some(*offset),
            Self::NoSuchSnapshot { .. } | Self::UnneededDataFile => None,
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
            Self::UnneededDataFile => f.write_str("a data file was supplied, but the image keeps its data in itself"),
        }
    }
}
