use core::fmt;

/// The reason why a cluster could not be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecompressError {
    /// The bytes are not a valid stream of the compression type.
    Invalid,
    /// The stream ends, or is truncated, before the cluster is full.
    Short,
    /// The stream contains more than a cluster.
    Long,
}

impl fmt::Display for DecompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "its stream is invalid",
            Self::Short => "its stream ends before the cluster is full",
            Self::Long => "its stream contains more than a cluster",
        })
    }
}

impl core::error::Error for DecompressError {}
