use core::fmt;

/// Why a cluster could not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecompressError {
    /// The bytes are no stream of the format.
    Invalid,
    /// The stream ends, or breaks off, before the cluster is full.
    Short,
    /// The stream holds more than a cluster.
    Long,
}

impl fmt::Display for DecompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "its stream is damaged",
            Self::Short => "its stream ends before the cluster is full",
            Self::Long => "its stream holds more than a cluster",
        })
    }
}

impl core::error::Error for DecompressError {}
