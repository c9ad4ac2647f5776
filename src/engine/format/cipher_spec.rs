//! The names by which a LUKS header says how sectors are encrypted.

use core::fmt;

/// A block cipher of LUKS.
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

/// How the blocks of a sector are chained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CipherMode {
    /// XTS; the key is two keys.
    #[default]
    Xts,
    /// Cipher block chaining.
    Cbc,
}

/// A hash of LUKS.
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

/// What a sector's initialisation vector is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IvGenerator {
    /// The lower 32 bits of its number.
    Plain,
    /// Its number.
    #[default]
    Plain64,
    /// Its number, encrypted by the hash of the key.
    Essiv(HashAlgorithm),
}

/// How sectors are encrypted. The default is QEMU's: `aes`, `xts-plain64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CipherSpec {
    /// The block cipher.
    pub algorithm: CipherAlgorithm,
    /// How it is used.
    pub mode: CipherMode,
    /// Where it begins.
    pub iv: IvGenerator,
}

impl CipherAlgorithm {
    const ALL: [Self; 3] = [Self::Aes, Self::Serpent, Self::Twofish];

    /// The name in headers.
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

    /// The name in headers.
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

    /// The length of its digest in bytes.
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

/// The mode and the vectors as a header names them.
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
