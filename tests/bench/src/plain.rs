//! AES by the plain crates, a block at a time: what the engine's is measured against, natively and, as a module, in Chromium.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256};
use xts_mode::{Xts128, get_tweak_default};

const SECTOR: usize = 512;

/// CBC, a block at a time.
pub fn cbc_encrypt(bytes: &mut [u8]) {
    let cipher = Aes128::new(&Array([7; 16]));
    for sector in bytes.chunks_mut(SECTOR) {
        let mut last = [0; 16];
        for block in sector.chunks_mut(16) {
            xor(block, &last);
            last.copy_from_slice(block);
            cipher.encrypt_block((&mut last).into());
            block.copy_from_slice(&last);
        }
    }
}

/// CBC, a block at a time.
pub fn cbc_decrypt(bytes: &mut [u8]) {
    let cipher = Aes128::new(&Array([7; 16]));
    for sector in bytes.chunks_mut(SECTOR) {
        let mut last = [0; 16];
        for block in sector.chunks_mut(16) {
            let mut plain = [0; 16];
            plain.copy_from_slice(block);
            let encrypted = plain;
            cipher.decrypt_block((&mut plain).into());
            xor(&mut plain, &last);
            last = encrypted;
            block.copy_from_slice(&plain);
        }
    }
}

/// XTS, as the crate `xts-mode` does it.
pub fn xts_encrypt(bytes: &mut [u8]) {
    xts().encrypt_area(bytes, SECTOR, 0, get_tweak_default);
}

/// XTS, as the crate `xts-mode` does it.
pub fn xts_decrypt(bytes: &mut [u8]) {
    xts().decrypt_area(bytes, SECTOR, 0, get_tweak_default);
}

fn xts() -> Xts128<Aes256> {
    Xts128::new(Aes256::new(&Array([7; 32])), Aes256::new(&Array([9; 32])))
}

fn xor(block: &mut [u8], other: &[u8; 16]) {
    for (byte, other) in block.iter_mut().zip(other) {
        *byte ^= other;
    }
}

/// The same for JavaScript, over that many clusters of 64 KiB.
#[cfg(target_arch = "wasm32")]
mod module {
    use core::hint::black_box;

    #[unsafe(no_mangle)]
    extern "C" fn cbc_encrypt(clusters: u32) {
        each(clusters, super::cbc_encrypt);
    }

    #[unsafe(no_mangle)]
    extern "C" fn cbc_decrypt(clusters: u32) {
        each(clusters, super::cbc_decrypt);
    }

    #[unsafe(no_mangle)]
    extern "C" fn xts_encrypt(clusters: u32) {
        each(clusters, super::xts_encrypt);
    }

    #[unsafe(no_mangle)]
    extern "C" fn xts_decrypt(clusters: u32) {
        each(clusters, super::xts_decrypt);
    }

    fn each(clusters: u32, pass: fn(&mut [u8])) {
        let mut bytes = vec![0; 64 << 10];
        for _ in 0..clusters {
            pass(black_box(&mut bytes));
        }
    }
}
