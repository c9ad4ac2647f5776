//! What an encrypted image tells to all.

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

/// How the guest's data is encrypted. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncryptionInfo {
    /// QEMU's legacy method, AES-128 in CBC mode. Its key is the passphrase itself, which it can't check.
    Aes,
    /// LUKS.
    Luks(LuksInfo),
}

impl EncryptionInfo {
    /// The method.
    pub fn method(&self) -> Encryption {
        match self {
            Self::Aes => Encryption::Aes,
            Self::Luks(_) => Encryption::Luks,
        }
    }
}

/// How the file with this head is encrypted, if it is.
pub(super) async fn read_encryption<S: Storage>(
    file: &HostFile<S>,
    head: &StoredHeader,
) -> Result<Option<EncryptionInfo>, Error<S::Error>> {
    Ok(match (head.header.encryption(), head.crypto_header()?) {
        (None, _) => None,
        (Some(_), Some(place)) => Some(EncryptionInfo::Luks(read_luks_header(file, place).await?.info())),
        (Some(_), None) => Some(EncryptionInfo::Aes),
    })
}

pub(super) async fn read_luks_header<S: Storage>(
    file: &HostFile<S>,
    place: CryptoHeader,
) -> Result<LuksHeader, Error<S::Error>> {
    let start = HostOffset(place.offset);
    let length = place.length.min(HEADER_BYTES as u64);
    let bytes = file.read_up_to(start, length).await.map_err(Error::Storage)?;
    Ok(LuksHeader::parse(&bytes, start, place.length)?)
}
