//! Unlocking an encrypted file: where the passphrase comes from, and what derives the keys.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::fmt;

use futures_util::future::LocalBoxFuture;

use super::key_derivation::{InOneGo, KeyDerivation};
use super::luks::Luks;
use crate::crypto::passphrase::Passphrase;
use crate::crypto::sector::SectorCipher;
use crate::error::{Error, Missing};
use crate::format::header::Encryption;
use crate::image::open::header::StoredHeader;
use crate::meta::encrypted::{Encrypted, SectorNumber};
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

/// Some minutes in a browser.
pub(in crate::image) const DEFAULT_MAX_ITERATIONS: u32 = 100_000_000;

/// An encrypted file of the chain, whose passphrase is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseRequest {
    /// 0 for the image that is opened, 1 for its backing file, and so on.
    pub depth: u32,
    /// How the file is encrypted. QEMU's legacy method can't tell a wrong passphrase.
    pub encryption: Encryption,
}

/// How the files of a chain are unlocked.
pub(in crate::image) struct Keys {
    pub(in crate::image) source: Source,
    pub(in crate::image) derivation: Rc<dyn KeyDerivation>,
    pub(in crate::image) max_iterations: u32,
}

/// Who knows the passphrases.
pub(in crate::image) enum Source {
    Nobody,
    /// Nobody, and it doesn't matter.
    NotNeeded,
    Given(Passphrase),
    Asked(Box<Ask>),
}

pub(in crate::image) type Ask = dyn FnMut(PassphraseRequest) -> LocalBoxFuture<'static, Option<Passphrase>>;

impl Default for Keys {
    fn default() -> Self {
        Self { source: Source::Nobody, derivation: Rc::new(InOneGo), max_iterations: DEFAULT_MAX_ITERATIONS }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("max_iterations", &self.max_iterations).finish_non_exhaustive()
    }
}

impl Keys {
    /// What reads the data of the file with this head; `None` where it is not encrypted.
    pub(in crate::image) async fn unlock<S: Storage>(
        &mut self,
        file: &HostFile<S>,
        head: &StoredHeader,
        depth: u32,
    ) -> Result<Option<Encrypted>, Error<S::Error>> {
        let Some(encryption) = head.header.encryption() else {
            return Ok(None);
        };
        let luks = match head.crypto_header()? {
            Some(place) => Some(Luks::read(file, place).await?),
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
                let opened = luks.open(file, &passphrase, &*self.derivation, self.max_iterations).await?;
                Some(opened.cipher)
            }
        };
        Ok(Some(Encrypted::new(cipher, number)))
    }

    async fn passphrase(&mut self, request: PassphraseRequest) -> Option<Passphrase> {
        match &mut self.source {
            Source::Nobody | Source::NotNeeded => None,
            Source::Given(passphrase) => Some(passphrase.clone()),
            Source::Asked(ask) => ask(request).await,
        }
    }
}
