//! The cipher specification of a LUKS header, and its names.

use core::fmt;

/// A block cipher that LUKS headers name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CipherAlgorithm {
    /// AES.
    #[default]
    Aes,
    /// Serpent.
    Serpent,
    /// Twofish.
    Twofish,
}

/// The mode of operation: how the blocks of a sector are combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CipherMode {
    /// XTS. Its key consists of two keys.
    #[default]
    Xts,
    /// Cipher block chaining.
    Cbc,
}

/// A hash that LUKS headers name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is a hash's name")]
pub enum HashAlgorithm {
    Sha1,
    Sha224,
    #[default]
    Sha256,
    Sha384,
    Sha512,
    Ripemd160,
}

/// The method that generates the initialisation vector of a sector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IvGenerator {
    /// The lower 32 bits of the sector number.
    Plain,
    /// The sector number.
    #[default]
    Plain64,
    /// The sector number, encrypted with the hash of the key.
    Essiv(HashAlgorithm),
}

/// The cipher, the mode and the initialisation vectors. The default is QEMU's: `aes`, `xts-plain64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CipherSpec {
    /// The block cipher.
    pub algorithm: CipherAlgorithm,
    /// The mode of operation.
    pub mode: CipherMode,
    /// The generator of initialisation vectors.
    pub iv: IvGenerator,
}

impl CipherAlgorithm {
    const ALL: [Self; 3] = [Self::Aes, Self::Serpent, Self::Twofish];

    /// Returns the name in LUKS headers, such as `aes`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes => "aes",
            Self::Serpent => "serpent",
            Self::Twofish => "twofish",
        }
    }
}

impl HashAlgorithm {
    pub(crate) const ALL: [Self; 6] =
        [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512, Self::Ripemd160];

    /// Returns the name in LUKS headers, such as `sha256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Ripemd160 => "ripemd160",
        }
    }

    /// Returns the hash with this name, such as `sha256`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.name() == name)
    }

    /// Returns the length of the digest in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Sha1 | Self::Ripemd160 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl CipherSpec {
    /// Returns the specification with these names of a LUKS header, such as `aes` and `xts-plain64`.
    pub fn from_names(cipher: &str, mode: &str) -> Option<Self> {
        let algorithm = CipherAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == cipher)?;
        let (mode, iv) = mode.split_once('-')?;
        let mode = match mode {
            "xts" => CipherMode::Xts,
            "cbc" => CipherMode::Cbc,
            _ => return None,
        };
        let iv = match iv.split_once(':') {
            None if iv == "plain" => IvGenerator::Plain,
            None if iv == "plain64" => IvGenerator::Plain64,
            Some(("essiv", hash)) => IvGenerator::Essiv(HashAlgorithm::from_name(hash)?),
            _ => return None,
        };
        Some(Self { algorithm, mode, iv })
    }
}

/// The mode and the generator of initialisation vectors, as a LUKS header names them.
impl fmt::Display for CipherSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.mode {
            CipherMode::Xts => "xts-",
            CipherMode::Cbc => "cbc-",
        })?;
        match self.iv {
            IvGenerator::Plain => f.write_str("plain"),
            IvGenerator::Plain64 => f.write_str("plain64"),
            IvGenerator::Essiv(hash) => write!(f, "essiv:{}", hash.name()),
        }
    }
}
