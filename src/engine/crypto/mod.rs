//! Encryption of sectors, and the keys for it.
//!
//! The ciphers and hashes are those of the `RustCrypto` project, except for AES with WebAssembly vectors. AES and the
//! hashes run in constant time. Twofish uses lookup tables, as in all implementations.

#[cfg(all(feature = "luks", target_feature = "simd128"))]
mod aes;
#[cfg(feature = "luks")]
mod anti_forensic;
#[cfg(feature = "luks")]
mod block;
#[cfg(feature = "luks")]
mod block_cipher;
#[cfg(feature = "luks")]
mod cbc;
#[cfg(feature = "luks")]
pub(crate) mod hash;
#[cfg(feature = "luks")]
mod iv;
#[cfg(feature = "luks")]
pub(crate) mod key_slot;
#[cfg(feature = "luks")]
pub(crate) mod passphrase;
#[cfg(feature = "luks")]
pub(crate) mod pbkdf2;
pub(crate) mod sector;
#[cfg(feature = "luks")]
pub(crate) mod stack;
#[cfg(feature = "luks")]
mod xts;

#[cfg(all(test, feature = "luks"))]
mod tests {
    use alloc::vec::Vec;

    #[cfg(target_arch = "wasm32")]
    wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

    pub(super) fn hex(digits: &str) -> Vec<u8> {
        let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
        (0..digits.len()).step_by(2).map(pair).collect()
    }
}
