//! Compressed clusters: bytes to bytes.

use alloc::boxed::Box;
use core::fmt;

use crate::error::DecompressError;

pub use compressor::{PackedClusters, Packer};

mod compressor;
#[cfg(feature = "deflate")]
mod deflate;
#[cfg(feature = "miniz")]
mod miniz;
#[cfg(feature = "zstd")]
mod zstd;
#[cfg(feature = "zstd")]
mod zstd_frame;

/// The decompressors that an image may need: a maker for each, or `None` where there is none.
///
/// [`Codecs::default`] holds those that this build contains. A maker is called when the first compressed cluster is
/// met; its state is then used again for all of the image's clusters.
#[derive(Clone, Copy)]
pub struct Codecs {
    /// Makes a reader of raw deflate streams (RFC 1951, without zlib's header).
    pub deflate: Option<fn() -> Box<dyn Decompress>>,
    /// Makes a reader of zstd frames (RFC 8878).
    pub zstd: Option<fn() -> Box<dyn Decompress>>,
    /// Makes a writer of raw deflate streams. Their window must be 4 KiB: QEMU's reader takes no larger one for granted.
    pub deflate_writer: Option<fn() -> Box<dyn Compress>>,
    /// Makes a writer of zstd frames.
    pub zstd_writer: Option<fn() -> Box<dyn Compress>>,
}

/// Packs clusters, one call a cluster.
pub trait Compress {
    /// Packs `input` into the beginning of `output`; how many bytes that takes, or `None` where they don't fit.
    ///
    /// What is behind them in `output` is unspecified then. The next call starts afresh.
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize>;
}

/// Unpacks clusters, one call a cluster.
pub trait Decompress {
    /// Fills `output` from the stream at the beginning of `input`, which may have other bytes behind it.
    ///
    /// When it fails, the contents of `output` are unspecified, and the next call starts afresh.
    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressError>;
}

impl Default for Codecs {
    fn default() -> Self {
        #[cfg_attr(not(any(feature = "deflate", feature = "miniz", feature = "zstd")), expect(unused_mut))]
        let mut codecs = Self { deflate: None, zstd: None, deflate_writer: None, zstd_writer: None };
        #[cfg(feature = "miniz")]
        {
            codecs.deflate = Some(|| Box::new(miniz::Miniz::default()));
        }
        // Where both are built, the faster one.
        #[cfg(feature = "deflate")]
        {
            codecs.deflate = Some(|| Box::new(deflate::ZlibRs::default()));
            codecs.deflate_writer = Some(|| Box::new(deflate::ZlibRsWriter::default()));
        }
        #[cfg(feature = "zstd")]
        {
            codecs.zstd = Some(|| Box::new(zstd::Zrip::default()));
            codecs.zstd_writer = Some(|| Box::new(zstd::ZripWriter));
        }
        codecs
    }
}

impl fmt::Debug for Codecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codecs")
            .field("deflate", &self.deflate.is_some())
            .field("zstd", &self.zstd.is_some())
            .finish_non_exhaustive()
    }
}
