//! The codec interface of the engine.

use crate::error::DecompressError;

/// Compresses clusters, one call per cluster.
pub trait Compress {
    /// Compresses `input` into the beginning of `output`, and returns the length; `None` if it does not fit.
    ///
    /// The rest of `output` is unspecified then. Each call is independent of earlier ones.
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize>;
}

/// Decompresses clusters, one call per cluster.
pub trait Decompress {
    /// Fills `output` from the stream at the beginning of `input`. Other bytes may follow the stream.
    ///
    /// If it fails, the contents of `output` are unspecified. Each call is independent of earlier ones.
    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressError>;
}
