//! Compressed clusters: bytes to bytes.

mod compression;
mod compressor;
mod contract;
#[cfg(feature = "deflate")]
mod deflate;
// If both are built, the other one is faster.
#[cfg(all(feature = "miniz", not(feature = "deflate")))]
mod miniz;
#[cfg(feature = "zstd")]
mod zstd;
#[cfg(feature = "zstd")]
mod zstd_frame;

pub use compression::{Codec, Codecs, CompressionType};
pub use compressor::{PackedClusters, Packer};
pub use contract::{Compress, Decompress};
