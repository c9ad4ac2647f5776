//! Creates the block ciphers of LUKS.

use alloc::boxed::Box;

use cipher::KeyInit;
use serpent::Serpent;
use twofish::Twofish;

#[cfg(target_feature = "simd128")]
use super::aes::Aes;
use super::block::BlockCipher;
use crate::format::cipher_spec::CipherAlgorithm;

/// Creates the cipher with this key. Returns `None` if it has no keys of that length.
pub(super) fn block_cipher(algorithm: CipherAlgorithm, key: &[u8]) -> Option<Box<dyn BlockCipher>> {
    match (algorithm, key.len()) {
        (CipherAlgorithm::Aes, _) => aes(key),
        (CipherAlgorithm::Serpent, 16 | 24 | 32) => keyed::<Serpent>(key),
        (CipherAlgorithm::Twofish, 16 | 24 | 32) => keyed::<Twofish>(key),
        _ => None,
    }
}

/// AES of the `aes` crate, which uses the AES instructions of processors.
#[cfg(not(target_feature = "simd128"))]
fn aes(key: &[u8]) -> Option<Box<dyn BlockCipher>> {
    match key.len() {
        16 => keyed::<aes::Aes128>(key),
        24 => keyed::<aes::Aes192>(key),
        32 => keyed::<aes::Aes256>(key),
        _ => None,
    }
}

#[cfg(target_feature = "simd128")]
fn aes(key: &[u8]) -> Option<Box<dyn BlockCipher>> {
    Some(Box::new(Aes::new(key)?))
}

fn keyed<C: BlockCipher + KeyInit + 'static>(key: &[u8]) -> Option<Box<dyn BlockCipher>> {
    C::new_from_slice(key).ok().map(|cipher| -> Box<dyn BlockCipher> { Box::new(cipher) })
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::crypto::block::Block;
    use crate::crypto::tests::hex;

    #[track_caller]
    fn check(algorithm: CipherAlgorithm, key: &str, plain: &str, encrypted: &str) {
        let cipher = block_cipher(algorithm, &hex(key)).expect("a key of that length");
        let mut blocks = [Block::try_from(&*hex(plain)).expect("a block"); 9];
        cipher.encrypt(&mut blocks);
        assert!(blocks.iter().all(|block| block[..] == hex(encrypted)), "encrypted");
        cipher.decrypt(&mut blocks);
        assert!(blocks.iter().all(|block| block[..] == hex(plain)), "decrypted");
    }

    /// FIPS 197, appendix C.
    #[test]
    fn aes() {
        let plain = "00112233445566778899aabbccddeeff";
        let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        check(CipherAlgorithm::Aes, &key[..32], plain, "69c4e0d86a7b0430d8cdb78070b4c55a");
        check(CipherAlgorithm::Aes, &key[..48], plain, "dda97ca4864cdfe06eaf70a0ec0d7191");
        check(CipherAlgorithm::Aes, key, plain, "8ea2b7ca516745bfeafc49904b496089");
    }

    /// Twofish: A 128-Bit Block Cipher (1998), section B.2.
    #[test]
    fn twofish() {
        let zero = "00000000000000000000000000000000";
        let key = "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff";
        check(CipherAlgorithm::Twofish, zero, zero, "9f589f5cf6122c32b6bfec2f2ae8c35a");
        check(CipherAlgorithm::Twofish, &key[..48], zero, "cfd1d2e5a9be9cdf501f13b892bd2248");
        check(CipherAlgorithm::Twofish, key, zero, "37527be0052334b89f0cfccae87cfa20");
    }

    /// The NESSIE test vectors of Serpent: set 1, vector 0.
    #[test]
    fn serpent() {
        let zero = "00000000000000000000000000000000";
        let key = "8000000000000000000000000000000000000000000000000000000000000000";
        check(CipherAlgorithm::Serpent, &key[..48], zero, "9e274ead9b737bb21efcfca548602689");
        check(CipherAlgorithm::Serpent, key, zero, "a223aa1288463c0e2be38ebd825616c0");
    }

    #[test]
    fn keys_of_other_lengths_are_refused() {
        for length in [0, 8, 15, 17, 20, 33, 64] {
            for algorithm in [CipherAlgorithm::Aes, CipherAlgorithm::Serpent, CipherAlgorithm::Twofish] {
                assert!(block_cipher(algorithm, &[0; 64][..length]).is_none(), "{algorithm:?} {length}");
            }
        }
    }
}
