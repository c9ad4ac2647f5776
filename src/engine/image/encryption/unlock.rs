//! Unlocking an encrypted file: the source of the passphrase and the key derivation.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::fmt;

use futures_util::future::LocalBoxFuture;

use super::key_derivation::{KeyDerivation, SynchronousDerivation};
use super::luks::Luks;
use crate::crypto::passphrase::Passphrase;
use crate::crypto::sector::SectorCipher;
use crate::crypto::stack::wiping;
use crate::error::{Error, Missing};
use crate::format::header::Encryption;
use crate::image::open::header::StoredHeader;
use crate::meta::encrypted::{Encrypted, SectorNumber};
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

/// This takes some minutes in a browser.
pub(in crate::image) const DEFAULT_MAX_ITERATIONS: u32 = 100_000_000;

/// A request for the passphrase of an encrypted file of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseRequest {
    /// 0 for the opened image, 1 for its backing file, and so on.
    pub depth: u32,
    /// The encryption method. QEMU's legacy method cannot detect a wrong passphrase.
    pub encryption: Encryption,
}

/// The settings for unlocking the files of a chain.
pub(in crate::image) struct Keys {
    pub(in crate::image) source: Source,
    pub(in crate::image) derivation: Rc<dyn KeyDerivation>,
    pub(in crate::image) max_iterations: u32,
}

/// The source of the passphrases.
pub(in crate::image) enum Source {
    None,
    /// The data is not read, so no passphrase is needed.
    NotNeeded,
    Given(Passphrase),
    Callback(Box<Ask>),
}

pub(in crate::image) type Ask = dyn FnMut(PassphraseRequest) -> LocalBoxFuture<'static, Option<Passphrase>>;

impl Default for Keys {
    fn default() -> Self {
        Self {
            source: Source::None,
            derivation: Rc::new(SynchronousDerivation),
            max_iterations: DEFAULT_MAX_ITERATIONS,
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("max_iterations", &self.max_iterations).finish_non_exhaustive()
    }
}

impl Keys {
    /// Returns the decryption of the file with this header, or `None` if it is not encrypted.
    pub(in crate::image) async fn unlock<S: Storage>(
        &mut self,
        file: &HostFile<S>,
        stored: &StoredHeader,
        depth: u32,
    ) -> Result<Option<Encrypted>, Error<S::Error>> {
        let Some(encryption) = stored.header.encryption() else {
            return Ok(None);
        };
        let luks = match stored.crypto_header()? {
            Some(crypto_header) => Some(Luks::read(file, crypto_header).await?),
            None => None,
        };
        let number = if luks.is_some() { SectorNumber::Host } else { SectorNumber::Guest };
        if matches!(self.source, Source::NotNeeded) {
            return Ok(Some(Encrypted::new(None, number)));
        }
        if let Some(luks) = &luks {
            luks.check_openable()?;
        }
        let passphrase = self.passphrase(PassphraseRequest { depth, encryption }).await.ok_or(Missing::Passphrase)?;
        let cipher = match luks {
            None => SectorCipher::legacy(passphrase.bytes()),
            Some(luks) => {
                let opened = wiping(luks.open(file, &passphrase, &*self.derivation, self.max_iterations)).await?;
                Some(opened.cipher)
            }
        };
        Ok(Some(Encrypted::new(cipher, number)))
    }

    async fn passphrase(&mut self, request: PassphraseRequest) -> Option<Passphrase> {
        match &mut self.source {
            Source::None | Source::NotNeeded => None,
            Source::Given(passphrase) => Some(passphrase.clone()),
            Source::Callback(ask) => ask(request).await,
        }
    }
}
