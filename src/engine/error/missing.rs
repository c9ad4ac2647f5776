use alloc::string::String;
use core::fmt;

use super::quoted::Quoted;

/// The image needs another file, or a passphrase.
///
/// The engine never opens files by the names in an image. The caller supplies the storage, or opens the image without it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The backing file, which holds the contents of unallocated clusters.
    BackingFile {
        /// The name in the image.
        name: String,
        /// The format in the image, such as `qcow2` or `raw`.
        format: Option<String>,
    },
    /// The external data file, which holds the guest data.
    DataFile {
        /// The name in the image.
        name: Option<String>,
    },
    /// The passphrase of an encrypted image.
    Passphrase,
}

impl Missing {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::BackingFile { .. } => "MISSING_BACKING_FILE",
            Self::DataFile { .. } => "MISSING_DATA_FILE",
            Self::Passphrase => "PASSPHRASE_NEEDED",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackingFile { name, format: Some(format) } => {
                write!(
                    f,
                    "the image needs its backing file {name} (format {format}); supply it, or open without it",
                    name = Quoted(name)
                )
            }
            Self::BackingFile { name, format: None } => {
                write!(f, "the image needs its backing file {name}; supply it, or open without it", name = Quoted(name))
            }
            Self::DataFile { name: Some(name) } => {
                write!(f, "the image keeps its data in the external data file {name}; supply it", name = Quoted(name))
            }
            Self::DataFile { name: None } => f.write_str(
                "the image keeps its data in an external data file, whose name it doesn't record; supply it",
            ),
            Self::Passphrase => f.write_str("the image is encrypted; supply its passphrase"),
        }
    }
}
