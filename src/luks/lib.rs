//! The cryptography of LUKS containers, for the TypeScript in `src/js/files/luks`, which parses their headers.
//!
//! The ciphers, hashes and PBKDF2 are the engine's. Argon2 comes from the `RustCrypto` project. This is a module of its
//! own, so that only those who unlock a container load it.
//!
//! A call returns `undefined` if it does not know an algorithm, or if the cipher has no key of that length. The caller
//! names what is not supported. Secrets are wiped here; the caller wipes its own copies.
#![no_std]
#![allow(unsafe_code, reason = "the code that wasm-bindgen's macros generate is unsafe")]

extern crate alloc;

mod memory_hard;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use js_sys::Uint8Array;
use qcow2_web::{CipherSpec, Derivation, HashAlgorithm, SectorCipher, open_key_slot};
use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

/// Returns the digest of `bytes`.
#[wasm_bindgen]
pub fn digest(hash: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    Some(qcow2_web::digest(HashAlgorithm::from_name(hash)?, &[bytes]).to_vec())
}

/// Derives a key of `length` bytes by PBKDF2.
#[wasm_bindgen]
pub fn pbkdf2(hash: &str, password: Vec<u8>, salt: &[u8], iterations: u32, length: usize) -> Option<Uint8Array> {
    let password = Zeroizing::new(password);
    let mut key = Zeroizing::new(vec![0; length]);
    Derivation { hash: HashAlgorithm::from_name(hash)?, password: &password, salt, iterations }.run(&mut key);
    Some(Uint8Array::from(&key[..]))
}

/// Derives a key of `length` bytes by Argon2. `kind` is `argon2i` or `argon2id`, and `memory` is in KiB.
///
/// Throws a sentence if the parameters are not valid, or if there is not enough memory.
#[wasm_bindgen]
pub fn argon2(
    kind: &str,
    password: Vec<u8>,
    salt: &[u8],
    time: u32,
    memory: u32,
    lanes: u32,
    length: usize,
) -> Result<Uint8Array, String> {
    let password = Zeroizing::new(password);
    let key = memory_hard::derive(kind, &password, salt, (time, memory, lanes), length)?;
    Ok(Uint8Array::from(&key[..]))
}

/// Decrypts the key in the `material` of a key slot with the key that was derived from a passphrase. The result is a wrong
/// key if the passphrase is wrong.
#[wasm_bindgen(js_name = openSlot)]
pub fn open_slot(cipher: &str, mode: &str, hash: &str, slot_key: Vec<u8>, material: Vec<u8>) -> Option<Uint8Array> {
    let slot_key = Zeroizing::new(slot_key);
    let material = Zeroizing::new(material);
    let spec = CipherSpec::from_names(cipher, mode)?;
    let key = open_key_slot(spec, HashAlgorithm::from_name(hash)?, &slot_key, material)?;
    Some(Uint8Array::from(&key[..]))
}

/// Decrypts the sectors of a container.
#[wasm_bindgen]
pub struct WasmSectors {
    cipher: SectorCipher,
    size: u32,
}

#[wasm_bindgen]
impl WasmSectors {
    /// Creates a cipher for sectors of `size` bytes.
    pub fn create(cipher: &str, mode: &str, key: Vec<u8>, size: u32) -> Option<WasmSectors> {
        let key = Zeroizing::new(key);
        let cipher = SectorCipher::new(CipherSpec::from_names(cipher, mode)?, &key)?;
        cipher.decrypt_sized(size, 0, &mut []).then_some(Self { cipher, size })
    }

    /// Decrypts whole sectors in `bytes`. `first` is the number of the first one, in units of 512 bytes.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the caller passes integers from 0")]
    pub fn decrypt(&self, first: f64, bytes: &mut [u8]) {
        self.cipher.decrypt_sized(self.size, first as u64, bytes);
    }
}
