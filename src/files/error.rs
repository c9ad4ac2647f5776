//! The errors of reading a volume.

use std::fmt;
use std::ops::Range;

/// The result of an operation on a volume.
pub type Result<T> = std::result::Result<T, Error>;

/// The error of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The operation needs these bytes of the disk. Provide them, then call it again.
    Need(Range<u64>),
    /// The operation cannot succeed.
    Failed(Code, String),
}

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// There is no file or directory with that name.
    NotFound,
    /// The path leads through something that is not a directory.
    NotADirectory,
    /// The path leads to a directory where a file is expected.
    IsADirectory,
    /// The path leads to something that is neither a file nor a directory, such as a device.
    NotAFile,
    /// The path does not lead to a symbolic link.
    NotALink,
    /// The name exists already.
    Exists,
    /// The directory is not empty.
    NotEmpty,
    /// The volume is full.
    NoSpace,
    /// The volume is read-only.
    ReadOnly,
    /// The file system, or a feature that this file needs, is not supported.
    Unsupported,
    /// The volume or the file is encrypted.
    Encrypted,
    /// The passphrase does not open the container.
    WrongPassphrase,
    /// The file system contradicts its own format.
    Damaged,
    /// A limit that protects against damaged file systems was reached.
    Limit,
    /// The argument is not valid.
    Invalid,
}

impl Code {
    /// The name of the code in JavaScript.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::NotADirectory => "NOT_A_DIRECTORY",
            Self::IsADirectory => "IS_A_DIRECTORY",
            Self::NotAFile => "NOT_A_FILE",
            Self::NotALink => "NOT_A_LINK",
            Self::Exists => "EXISTS",
            Self::NotEmpty => "NOT_EMPTY",
            Self::NoSpace => "NO_SPACE",
            Self::ReadOnly => "READ_ONLY",
            Self::Unsupported => "UNSUPPORTED",
            Self::Encrypted => "ENCRYPTED",
            Self::WrongPassphrase => "WRONG_PASSPHRASE",
            Self::Damaged => "DAMAGED",
            Self::Limit => "LIMIT",
            Self::Invalid => "INVALID",
        }
    }

    /// An error of this kind with `message`, a plain sentence without a full stop.
    pub fn error(self, message: impl Into<String>) -> Error {
        Error::Failed(self, message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Need(range) => write!(f, "bytes {}..{} of the disk are needed", range.start, range.end),
            Self::Failed(_, message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}
