use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::quoted::Quoted;

/// The image may be sound, but this crate doesn't support it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// The file is not a qcow2 image. This is its apparent format.
    Format(FileFormat),
    /// A version of the format other than 2 and 3.
    Version(u32),
    /// Incompatible features that this crate doesn't know.
    Features {
        /// The unknown bits of the incompatible feature word.
        bits: u64,
        /// The names in the image's own feature table, in the order of the bits. Unnamed features are omitted.
        names: Vec<String>,
    },
    /// The guest data is encrypted by QEMU's legacy method, AES in CBC mode, and this build has no ciphers.
    EncryptionAes,
    /// The guest data is encrypted by LUKS, and this build has no ciphers.
    EncryptionLuks,
    /// A version of LUKS other than 1.
    LuksVersion(u16),
    /// A LUKS cipher that this crate doesn't support, or not with this key length.
    LuksCipher {
        /// The name of the cipher in the header, such as `cast5`.
        cipher: String,
        /// The mode in the header, such as `cbc-plain64`.
        mode: String,
        /// The length of the key in bits.
        key_bits: u32,
    },
    /// A LUKS hash that this crate doesn't support.
    LuksHash {
        /// The name of the hash in the header.
        name: String,
    },
    /// The key derivation needs more iterations than the caller allows.
    LuksIterations {
        /// The number of iterations.
        iterations: u32,
        /// The largest number that is allowed.
        limit: u32,
    },
    /// The guest data is encrypted by a method that the format doesn't define.
    EncryptionMethod(u32),
    /// A compression type that the format doesn't define.
    CompressionType(u8),
    /// A compression type for which this build has no codec.
    NoCodec {
        /// The codec's name.
        name: &'static str,
    },
    /// A backing file whose format is neither qcow2 nor raw.
    BackingFormat {
        /// The format in the image.
        name: String,
    },
    /// The backing chain has more files than [`MAX_CHAIN`](crate::Image::MAX_CHAIN), or contains itself.
    ChainTooLong,
}

impl Unsupported {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Format(_) => "NOT_QCOW2",
            Self::Version(_) => "UNSUPPORTED_VERSION",
            Self::Features { .. } => "UNSUPPORTED_FEATURES",
            Self::EncryptionAes
            | Self::EncryptionLuks
            | Self::EncryptionMethod(_)
            | Self::LuksVersion(_)
            | Self::LuksCipher { .. }
            | Self::LuksHash { .. } => "UNSUPPORTED_ENCRYPTION",
            Self::LuksIterations { .. } => "TOO_MANY_ITERATIONS",
            Self::CompressionType(_) | Self::NoCodec { .. } => "UNSUPPORTED_COMPRESSION",
            Self::BackingFormat { .. } => "UNSUPPORTED_BACKING_FORMAT",
            Self::ChainTooLong => "BACKING_CHAIN_TOO_LONG",
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(FileFormat::Unknown) => {
                f.write_str("this is not a qcow2 image: it doesn't begin with the letters QFI and the byte 0xfb")
            }
            Self::Format(format) => write!(f, "this is not a qcow2 image: it seems to be {}", format.name()),
            Self::Version(1) => f.write_str("this is an image of the old qcow format (version 1); convert it to qcow2"),
            Self::Version(version) => write!(f, "version {version} of qcow2 is not supported; versions 2 and 3 are"),
            Self::Features { bits, names } if names.is_empty() => {
                write!(f, "the image uses incompatible features that are not supported: bits {bits:#x}")
            }
            Self::Features { bits, names } => {
                write!(f, "the image uses incompatible features that are not supported: ")?;
                for (index, name) in names.iter().enumerate() {
                    write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
                }
                write!(f, " (bits {bits:#x})")
            }
            Self::EncryptionAes => {
                f.write_str("the image is encrypted (AES, QEMU's legacy method), and this build has no ciphers")
            }
            Self::EncryptionLuks => f.write_str("the image is encrypted (LUKS), and this build has no ciphers"),
            Self::LuksVersion(version) => write!(f, "version {version} of LUKS is not supported; version 1 is"),
            Self::LuksCipher { cipher, mode, key_bits } => {
                write!(
                    f,
                    "the image is encrypted by {cipher} {mode} with a key of {key_bits} bits, which is not supported"
                )
            }
            Self::LuksHash { name } => write!(f, "the image's keys are derived by {name}, which is not supported"),
            Self::LuksIterations { iterations, limit } => {
                write!(f, "the key derivation needs {iterations} iterations; at most {limit} are allowed")
            }
            Self::EncryptionMethod(method) => {
                write!(f, "the image is encrypted by method {method}, which the format doesn't define")
            }
            Self::CompressionType(kind) => write!(f, "the format doesn't define compression type {kind}"),
            Self::NoCodec { name } => write!(f, "this build has no codec for {name}"),
            Self::BackingFormat { name } => {
                write!(f, "the backing file's format {name} is not supported; qcow2 and raw are", name = Quoted(name))
            }
            Self::ChainTooLong => f.write_str("the backing chain is too long, or contains itself"),
        }
    }
}

/// The apparent format of a file, detected by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is a format's name, which `name` spells out")]
pub enum FileFormat {
    Qcow2,
    Qcow1,
    Qed,
    Vmdk,
    Vdi,
    Vhdx,
    Vpc,
    Luks,
    Parallels,
    Gzip,
    Xz,
    Zstd,
    Zip,
    SevenZip,
    Empty,
    Unknown,
}

impl FileFormat {
    /// Returns whether it is a disk image format of QEMU, not an archive or plain bytes.
    pub(crate) fn is_disk_image(self) -> bool {
        !matches!(self, Self::Gzip | Self::Xz | Self::Zstd | Self::Zip | Self::SevenZip | Self::Empty | Self::Unknown)
    }

    /// Returns the name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Qcow1 => "qcow (version 1)",
            Self::Qed => "QED",
            Self::Vmdk => "VMDK",
            Self::Vdi => "VDI",
            Self::Vhdx => "VHDX",
            Self::Vpc => "VHD (vpc)",
            Self::Luks => "a LUKS volume",
            Self::Parallels => "Parallels",
            Self::Gzip => "a gzip archive; extract it first",
            Self::Xz => "an xz archive; decompress it first",
            Self::Zstd => "a zstd archive; decompress it first",
            Self::Zip => "a zip archive; extract it first",
            Self::SevenZip => "a 7z archive; extract it first",
            Self::Empty => "an empty file",
            Self::Unknown => "raw, or unknown",
        }
    }
}
