//! Compresses and decompresses clusters.

mod compression;
mod compressor;
mod contract;
#[cfg(feature = "deflate")]
mod deflate;
#[cfg(all(feature = "deflate", feature = "compress"))]
mod deflate_writer;
// If both features are enabled, `deflate` is used, because it is faster.
#[cfg(all(feature = "miniz", not(feature = "deflate")))]
mod miniz;
#[cfg(feature = "zstd")]
mod zstd;
#[cfg(feature = "zstd")]
mod zstd_frame;
#[cfg(all(feature = "zstd", feature = "compress"))]
mod zstd_writer;

pub use compression::{Codec, Codecs, CompressionType};
pub use compressor::{PackedClusters, Packer};
pub use contract::{Compress, Decompress};
