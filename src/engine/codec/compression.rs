//! The compression types of the format: one row of [`CompressionType::row`] each.
//!
//! To add one: a variant, its row, and a module here that implements [`Compress`] and [`Decompress`].

use alloc::boxed::Box;
use core::fmt;
use core::ops::RangeInclusive;

use super::contract::{Compress, Decompress};

/// How the compressed clusters of an image are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompressionType {
    /// Raw deflate streams (RFC 1951), without the header of zlib. QEMU calls them `zlib`.
    Zlib,
    /// Zstandard frames (RFC 8878).
    Zstd,
}

/// The properties of a compression type.
struct Row {
    /// The header's `compression_type`. A value other than 0 needs the incompatible feature `compression type`.
    header_value: u8,
    name: &'static str,
    levels: RangeInclusive<i32>,
    default_level: i32,
    /// The codec of this build.
    codec: Codec,
}

impl CompressionType {
    /// Every compression type of the format.
    pub const ALL: [Self; 2] = [Self::Zlib, Self::Zstd];

    /// The table. The default levels are those of QEMU.
    const fn row(self) -> Row {
        match self {
            Self::Zlib => Row { header_value: 0, name: "zlib", levels: 1..=9, default_level: 6, codec: ZLIB },
            Self::Zstd => Row { header_value: 1, name: "zstd", levels: -7..=4, default_level: 3, codec: ZSTD },
        }
    }

    /// Returns the name that `qemu-img` gives it: `zlib` or `zstd`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Returns the compression type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the levels that the codec of this build takes, from the fastest to the smallest.
    pub fn levels(self) -> RangeInclusive<i32> {
        self.row().levels
    }

    /// Returns the level that images are written with, which is QEMU's.
    pub fn default_level(self) -> i32 {
        self.row().default_level
    }

    pub(crate) fn header_value(self) -> u8 {
        self.row().header_value
    }

    pub(crate) fn from_header_value(value: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.header_value() == value)
    }
}

/// Creates compressors and decompressors of one type. Each is `None` if the build does not have it.
#[derive(Clone, Copy)]
pub struct Codec {
    /// Creates a decompressor.
    pub decompressor: Option<fn() -> Box<dyn Decompress>>,
    /// Creates a compressor with a level.
    ///
    /// For [`CompressionType::Zlib`], its window must be 4 KiB, because QEMU relies on no larger one.
    pub compressor: Option<fn(level: i32) -> Box<dyn Compress>>,
}

impl Codec {
    /// Neither a compressor nor a decompressor.
    pub const NONE: Self = Self { decompressor: None, compressor: None };
}

#[cfg(feature = "deflate")]
const ZLIB: Codec = Codec {
    decompressor: Some(|| Box::new(super::deflate::ZlibRs::default())),
    #[cfg(feature = "compress")]
    compressor: Some(|level| Box::new(super::deflate_writer::ZlibRsWriter::new(level))),
    #[cfg(not(feature = "compress"))]
    compressor: None,
};
#[cfg(all(feature = "miniz", not(feature = "deflate")))]
const ZLIB: Codec = Codec { decompressor: Some(|| Box::new(super::miniz::Miniz::default())), ..Codec::NONE };
#[cfg(not(any(feature = "deflate", feature = "miniz")))]
const ZLIB: Codec = Codec::NONE;

#[cfg(feature = "zstd")]
const ZSTD: Codec = Codec {
    decompressor: Some(|| Box::new(super::zstd::Zrip::default())),
    #[cfg(feature = "compress")]
    compressor: Some(|level| Box::new(super::zstd_writer::ZripWriter { level })),
    #[cfg(not(feature = "compress"))]
    compressor: None,
};
#[cfg(not(feature = "zstd"))]
const ZSTD: Codec = Codec::NONE;

/// The codecs that images may use, by compression type.
///
/// [`Codecs::default`] holds those of this build. A codec is created when the first compressed cluster is read or written,
/// and then used for all clusters of the file.
#[derive(Clone, Copy)]
pub struct Codecs([Codec; CompressionType::ALL.len()]);

impl Codecs {
    /// No codecs: compressed clusters can be neither read nor written.
    pub const NONE: Self = Self([Codec::NONE; CompressionType::ALL.len()]);

    /// Returns the codec of a compression type.
    pub fn get(&self, kind: CompressionType) -> Codec {
        CompressionType::ALL
            .into_iter()
            .zip(self.0)
            .find(|(its, _)| *its == kind)
            .map_or(Codec::NONE, |(_, codec)| codec)
    }

    /// Replaces the codec of a compression type.
    #[must_use]
    pub fn with(mut self, kind: CompressionType, codec: Codec) -> Self {
        for (its, slot) in CompressionType::ALL.into_iter().zip(&mut self.0) {
            if its == kind {
                *slot = codec;
            }
        }
        self
    }
}

impl Default for Codecs {
    fn default() -> Self {
        Self(CompressionType::ALL.map(|kind| kind.row().codec))
    }
}

impl fmt::Debug for Codecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = CompressionType::ALL.into_iter().filter(|kind| self.get(*kind).decompressor.is_some());
        f.debug_set().entries(present.map(CompressionType::name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_header_values_lead_back_to_their_type() {
        for kind in CompressionType::ALL {
            assert_eq!(CompressionType::from_name(kind.name()), Some(kind));
            assert_eq!(CompressionType::from_header_value(kind.header_value()), Some(kind));
            assert!(kind.levels().contains(&kind.default_level()));
        }
        assert_eq!(CompressionType::from_name("deflate"), None);
        assert_eq!(CompressionType::from_header_value(2), None);
    }

    #[test]
    fn every_level_compresses_what_the_decompressor_reads() {
        let cluster: alloc::vec::Vec<u8> = (0..4096_u32).map(|index| (index / 64 * 7 % 251) as u8).collect();
        for kind in CompressionType::ALL {
            let codec = Codecs::default().get(kind);
            let (Some(decompressor), Some(compressor)) = (codec.decompressor, codec.compressor) else { continue };
            for level in kind.levels() {
                let (mut stream, mut read) = ([0; 4096], [0; 4096]);
                let length = compressor(level).compress(&cluster, &mut stream).expect("the cluster is compressible");
                decompressor().decompress(&stream[..length], &mut read).expect("its own stream");
                assert!(read[..] == cluster, "{} at level {level}", kind.name());
            }
        }
    }
}
