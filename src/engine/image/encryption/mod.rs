//! Encryption: its public properties, creating, unlocking and changing key slots.

#[cfg_attr(not(feature = "luks"), path = "create_unsupported.rs")]
pub(crate) mod create;
#[cfg(feature = "luks")]
pub(crate) mod derived_keys;
#[cfg(feature = "luks")]
pub(crate) mod key_derivation;
#[cfg(feature = "luks")]
pub(crate) mod key_material;
#[cfg(feature = "luks")]
pub(crate) mod key_slots;
#[cfg(feature = "luks")]
pub(crate) mod luks;
#[cfg(feature = "luks")]
pub(crate) mod options;
#[cfg_attr(not(feature = "luks"), path = "unlock_unsupported.rs")]
pub(crate) mod unlock;

use crate::error::Error;
use crate::format::header::Encryption;
use crate::format::header::extension::CryptoHeader;
use crate::format::luks::{HEADER_BYTES, LuksHeader, LuksInfo};
use crate::format::units::HostOffset;
use crate::image::open::header::StoredHeader;
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

/// The encryption of the guest data. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncryptionInfo {
    /// QEMU's legacy method, AES-128 in CBC mode. The passphrase itself is the key, so a wrong one is not detected.
    Aes,
    /// LUKS.
    Luks(LuksInfo),
}

impl EncryptionInfo {
    /// Returns the method.
    pub fn method(&self) -> Encryption {
        match self {
            Self::Aes => Encryption::Aes,
            Self::Luks(_) => Encryption::Luks,
        }
    }
}

/// Returns the encryption of the file with this header, if it is encrypted.
pub(super) async fn read_encryption<S: Storage>(
    file: &HostFile<S>,
    stored: &StoredHeader,
) -> Result<Option<EncryptionInfo>, Error<S::Error>> {
    Ok(match (stored.header.encryption(), stored.crypto_header()?) {
        (None, _) => None,
        (Some(_), Some(crypto_header)) => {
            Some(EncryptionInfo::Luks(read_luks_header(file, crypto_header).await?.info()))
        }
        (Some(_), None) => Some(EncryptionInfo::Aes),
    })
}

pub(super) async fn read_luks_header<S: Storage>(
    file: &HostFile<S>,
    crypto_header: CryptoHeader,
) -> Result<LuksHeader, Error<S::Error>> {
    let start = HostOffset(crypto_header.offset);
    let length = crypto_header.length.min(HEADER_BYTES as u64);
    let bytes = file.read_up_to(start, length).await.map_err(Error::Storage)?;
    Ok(LuksHeader::parse(&bytes, start, crypto_header.length)?)
}
