//! Creating encrypted images, for JavaScript.

use alloc::format;
use alloc::rc::Rc;

use qcow2_web::{CipherMode, CipherSpec, EncryptOptions, HashAlgorithm, KeyDerivation, Passphrase, RememberedKeys};
use wasm_bindgen::JsValue;

use super::error::other;
use super::host::{HostEncryptOptions, HostProgress};
use super::keys::{HostDerivation, take_passphrase};
use super::new_key::NewKey;
use super::runtime::Runtime;

/// The encryption that the host asks for.
pub(super) struct NewEncryption {
    passphrase: Passphrase,
    luks: Option<Luks>,
    /// Used again to open the image.
    pub(super) derivation: Rc<dyn KeyDerivation>,
}

struct Luks {
    spec: CipherSpec,
    key_bits: u32,
    hash: HashAlgorithm,
    key: NewKey,
}

impl NewEncryption {
    /// Reads the options of the host, and wipes the array of the passphrase.
    pub(super) fn new(
        runtime: &Rc<Runtime>,
        host: &HostEncryptOptions,
        progress: Option<HostProgress>,
    ) -> Result<Self, JsValue> {
        let passphrase = take_passphrase(&host.passphrase());
        let derivation: Rc<dyn KeyDerivation> =
            Rc::new(RememberedKeys::new(Rc::new(HostDerivation::new(runtime.clone(), progress))));
        let luks = if host.legacy() {
            None
        } else {
            let key = NewKey::new(runtime.clone(), derivation.clone(), &host.keys());
            let (spec, hash) = (cipher(&host.cipher(), &host.mode())?, hash(&host.hash())?);
            Some(Luks { spec, key_bits: host.key_bits(), hash, key })
        };
        Ok(Self { passphrase, luks, derivation })
    }

    pub(super) async fn options(self) -> EncryptOptions {
        let Some(Luks { spec, key_bits, hash, key }) = self.luks else {
            return EncryptOptions::legacy_aes(self.passphrase);
        };
        let keys = if spec.mode == CipherMode::Xts { 2 } else { 1 };
        let keys = key.options(hash, keys * key_bits / 8).await;
        EncryptOptions::luks(self.passphrase, keys).cipher(spec, key_bits).hash(hash)
    }
}

fn cipher(name: &str, mode: &str) -> Result<CipherSpec, JsValue> {
    let unknown = || other("INVALID_ARGUMENT", &format!("there is no cipher {name:?} in the mode {mode:?}"));
    CipherSpec::from_names(name, mode).ok_or_else(unknown)
}

fn hash(name: &str) -> Result<HashAlgorithm, JsValue> {
    HashAlgorithm::from_name(name).ok_or_else(|| other("INVALID_ARGUMENT", &format!("there is no hash {name:?}")))
}
