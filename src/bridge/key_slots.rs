//! The key slots of an open image, for JavaScript.

use alloc::rc::Rc;

use js_sys::Uint8Array;
use qcow2_web::{EncryptionInfo, Error, HashAlgorithm, Image, KeyOptions, Misuse};
use wasm_bindgen::prelude::*;

use super::error::{Fault, to_js};
use super::host::{HostKeyOptions, HostProgress};
use super::image::WasmImage;
use super::keys::{HostDerivation, take_passphrase};
use super::new_key::{HostEntropy, NewKey};
use super::object::Object;
use super::storage::JsStorage;
use super::tasks::Outcome;
use super::write::done;

#[wasm_bindgen]
impl WasmImage {
    /// Adds the passphrase `new`, using `existing`, in the key slot `slot` or the first free one. The value has the number of
    /// its key slot. Both arrays are wiped.
    pub fn add_passphrase(
        &self,
        existing: &Uint8Array,
        new: &Uint8Array,
        slot: Option<usize>,
        host: &HostKeyOptions,
        progress: Option<HostProgress>,
    ) -> Result<JsValue, JsValue> {
        let (existing, new, image) = (take_passphrase(existing), take_passphrase(new), self.image.clone());
        let key = self.new_key(host, progress);
        self.runtime.start(async move {
            let options = key_options(&image, key).await?;
            filled(match slot {
                Some(slot) => image.add_passphrase_to_slot(slot, existing, new, &options).await.map(|()| slot),
                None => image.add_passphrase(existing, new, &options).await,
            })
        })
    }

    /// Replaces the passphrase `old` with `new`. Otherwise as `add_passphrase`.
    pub fn change_passphrase(
        &self,
        old: &Uint8Array,
        new: &Uint8Array,
        host: &HostKeyOptions,
        progress: Option<HostProgress>,
    ) -> Result<JsValue, JsValue> {
        let (old, new, image) = (take_passphrase(old), take_passphrase(new), self.image.clone());
        let key = self.new_key(host, progress);
        self.runtime.start(async move {
            let options = key_options(&image, key).await?;
            filled(image.change_passphrase(old, new, &options).await)
        })
    }

    /// Erases a key slot.
    pub fn erase_key_slot(&self, slot: usize) -> Result<JsValue, JsValue> {
        let (image, entropy) = (self.image.clone(), HostEntropy(self.runtime.clone()));
        self.runtime.start(async move { done(image.erase_key_slot(slot, &entropy).await) })
    }

    /// Erases the key slots that `passphrase` opens, or only `slot`. The array is wiped.
    pub fn erase_passphrase(
        &self,
        passphrase: &Uint8Array,
        slot: Option<usize>,
        progress: Option<HostProgress>,
    ) -> Result<JsValue, JsValue> {
        let (passphrase, image) = (take_passphrase(passphrase), self.image.clone());
        let derivation = Rc::new(HostDerivation::new(self.runtime.clone(), progress));
        let options = KeyOptions::new(HostEntropy(self.runtime.clone())).key_derivation(derivation);
        self.runtime.start(async move { done(image.erase_passphrase(passphrase, slot, &options).await.map(drop)) })
    }
}

impl WasmImage {
    fn new_key(&self, host: &HostKeyOptions, progress: Option<HostProgress>) -> NewKey {
        let derivation = HostDerivation::new(self.runtime.clone(), progress);
        NewKey::new(self.runtime.clone(), Rc::new(derivation), host)
    }
}

async fn key_options(image: &Image<JsStorage>, key: NewKey) -> Result<KeyOptions, JsValue> {
    let Some(EncryptionInfo::Luks(luks)) = image.info().await.map_err(to_js)?.encryption else {
        return Err(to_js(Misuse::NoKeySlots.into()));
    };
    // Opening the slot reports an unknown hash.
    let hash = HashAlgorithm::from_name(&luks.hash).unwrap_or_default();
    Ok(key.options(hash, luks.key_bits / 8).await)
}

fn filled(result: Result<usize, Error<Fault>>) -> Outcome {
    let slot = u32::try_from(result.map_err(to_js)?).unwrap_or(u32::MAX);
    Ok(Object::new().with("slot", slot).into())
}
