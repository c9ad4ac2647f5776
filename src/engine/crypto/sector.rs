//! Encrypts sectors of 512 bytes, each independently.

#[cfg(feature = "luks")]
pub use with_ciphers::SectorCipher;
#[cfg(not(feature = "luks"))]
pub(crate) use without_ciphers::SectorCipher;

pub(crate) const SECTOR: usize = 512;

#[cfg(not(feature = "luks"))]
mod without_ciphers {
    /// This build has no ciphers.
    pub(crate) enum SectorCipher {}

    impl SectorCipher {
        pub(crate) fn encrypt(&self, _first: u64, _data: &mut [u8]) {
            match *self {}
        }

        pub(crate) fn decrypt(&self, _first: u64, _data: &mut [u8]) {
            match *self {}
        }
    }
}

#[cfg(feature = "luks")]
mod with_ciphers {
    use alloc::boxed::Box;

    use super::SECTOR;
    use crate::crypto::block::{BLOCK, BLOCKS_PER_SECTOR, Block, BlockCipher};
    use crate::crypto::block_cipher::block_cipher;
    use crate::crypto::iv::IvSource;
    use crate::crypto::stack::wipe_stack;
    use crate::crypto::{cbc, xts};
    use crate::format::cipher_spec::{CipherAlgorithm, CipherMode, CipherSpec, IvGenerator};

    const _: () = assert!(BLOCKS_PER_SECTOR * BLOCK == SECTOR);

    /// The number of sectors whose initialisation vectors are generated together.
    const BATCH: usize = 64;

    /// Encrypts and decrypts numbered sectors. The keys are wiped when it is dropped.
    ///
    /// The number of a sector counts in units of 512 bytes, also where sectors are larger, as in LUKS version 2.
    pub struct SectorCipher {
        data: Box<dyn BlockCipher>,
        /// For XTS.
        tweak: Option<Box<dyn BlockCipher>>,
        iv: IvSource,
    }

    /// The stack has what was in use of the keys.
    impl Drop for SectorCipher {
        fn drop(&mut self) {
            wipe_stack();
        }
    }

    impl SectorCipher {
        /// Creates a cipher of LUKS. Returns `None` if it has no keys of that length.
        pub fn new(spec: CipherSpec, key: &[u8]) -> Option<Self> {
            let iv = IvSource::new(spec.iv, spec.algorithm, key)?;
            let (data, tweak) = match spec.mode {
                CipherMode::Cbc => (block_cipher(spec.algorithm, key)?, None),
                CipherMode::Xts => {
                    let (data, tweak) = key.split_at(key.len() / 2);
                    (block_cipher(spec.algorithm, data)?, Some(block_cipher(spec.algorithm, tweak)?))
                }
            };
            Some(Self { data, tweak, iv })
        }

        /// Creates the cipher of QEMU's legacy method: AES-128-CBC.
        ///
        /// The key is the passphrase itself, truncated or padded with zeros.
        pub(crate) fn legacy(passphrase: &[u8]) -> Option<Self> {
            let mut key = zeroize::Zeroizing::new([0; 16]);
            for (byte, letter) in key.iter_mut().zip(passphrase) {
                *byte = *letter;
            }
            let spec = CipherSpec { algorithm: CipherAlgorithm::Aes, mode: CipherMode::Cbc, iv: IvGenerator::Plain64 };
            Self::new(spec, &*key)
        }

        /// Encrypts the sectors in `data`. The first one has the number `first`.
        ///
        /// Bytes after the last whole sector stay unchanged.
        pub(crate) fn encrypt(&self, first: u64, data: &mut [u8]) {
            self.each_batch(first, data, |sectors, vectors| match &self.tweak {
                None => cbc::encrypt(&*self.data, sectors, vectors),
                Some(tweak) => xts::apply(&**tweak, sectors, vectors, |blocks| self.data.encrypt(blocks)),
            });
        }

        /// Decrypts the sectors of 512 bytes in `data`. The first one has the number `first`.
        ///
        /// Bytes after the last whole sector stay unchanged.
        pub fn decrypt(&self, first: u64, data: &mut [u8]) {
            self.decrypt_by::<BLOCKS_PER_SECTOR>(first, data);
        }

        /// Decrypts sectors of `size` bytes in `data`: 512, 1024, 2048 or 4096. Returns false for any other size.
        ///
        /// Bytes after the last whole sector stay unchanged.
        pub fn decrypt_sized(&self, size: u32, first: u64, data: &mut [u8]) -> bool {
            match size {
                512 => self.decrypt_by::<{ 512 / BLOCK }>(first, data),
                1024 => self.decrypt_by::<{ 1024 / BLOCK }>(first, data),
                2048 => self.decrypt_by::<{ 2048 / BLOCK }>(first, data),
                4096 => self.decrypt_by::<{ 4096 / BLOCK }>(first, data),
                _ => return false,
            }
            true
        }

        fn decrypt_by<const BLOCKS: usize>(&self, first: u64, data: &mut [u8]) {
            self.each_batch::<BLOCKS>(first, data, |sectors, vectors| match &self.tweak {
                None => cbc::decrypt(&*self.data, sectors, vectors),
                Some(tweak) => xts::apply(&**tweak, sectors, vectors, |blocks| self.data.decrypt(blocks)),
            });
        }

        fn each_batch<const BLOCKS: usize>(
            &self,
            mut number: u64,
            data: &mut [u8],
            pass: impl Fn(&mut [[Block; BLOCKS]], &mut [Block]),
        ) {
            let stride = (BLOCKS / BLOCKS_PER_SECTOR) as u64;
            let (blocks, _) = Block::slice_as_chunks_mut(data);
            let (sectors, _) = blocks.as_chunks_mut::<BLOCKS>();
            let mut vectors = [Block::default(); BATCH];
            for sectors in sectors.chunks_mut(BATCH) {
                let vectors = &mut vectors[..sectors.len()];
                self.iv.fill(number, stride, vectors);
                pass(sectors, vectors);
                number = number.wrapping_add(BATCH as u64 * stride);
            }
        }
    }
}

#[cfg(all(test, feature = "luks"))]
mod tests {
    use alloc::vec::Vec;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::crypto::tests::hex;
    use crate::format::cipher_spec::{CipherAlgorithm, CipherMode, CipherSpec, HashAlgorithm, IvGenerator};

    const XTS: CipherSpec =
        CipherSpec { algorithm: CipherAlgorithm::Aes, mode: CipherMode::Xts, iv: IvGenerator::Plain64 };

    fn counting() -> Vec<u8> {
        (0..=255).cycle().take(SECTOR).collect()
    }

    #[track_caller]
    fn check(cipher: &SectorCipher, number: u64, begins: &str, ends: &str) {
        let mut data = counting();
        cipher.encrypt(number, &mut data);
        assert!(data.starts_with(&hex(begins)), "it begins right");
        assert!(data.ends_with(&hex(ends)), "it ends right");
        cipher.decrypt(number, &mut data);
        assert_eq!(data, counting());
    }

    /// IEEE 1619-2007, annex B: vectors 4 and 10, which are whole sectors.
    #[test]
    fn xts() {
        let key = "2718281828459045235360287471352631415926535897932384626433832795";
        let cipher = SectorCipher::new(XTS, &hex(key)).expect("a key of 256 bits");
        let begins = "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c";
        check(&cipher, 0, begins, "0a282df920147beabe421ee5319d0568");
        let key = "2718281828459045235360287471352662497757247093699959574966967627\
                   3141592653589793238462643383279502884197169399375105820974944592";
        let cipher = SectorCipher::new(XTS, &hex(key)).expect("a key of 512 bits");
        let begins = "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b";
        check(&cipher, 0xff, begins, "c4f36ffda9fcea70b9c6e693e148c151");
    }

    /// NIST SP 800-38A, F.2.1. The vector there is not that of a sector number, so the first block includes it by XOR.
    #[test]
    fn cbc() {
        let cipher = SectorCipher::legacy(&hex("2b7e151628aed2a6abf7158809cf4f3c")).expect("any passphrase");
        let mut data = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        for (byte, vector) in data.iter_mut().zip(0..16) {
            *byte ^= vector;
        }
        data.resize(SECTOR, 0);
        cipher.encrypt(0, &mut data);
        let expected = "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2";
        assert!(data.starts_with(&hex(expected)));
    }

    #[test]
    fn the_legacy_key_is_the_passphrase_truncated_or_padded() {
        let encrypted = |passphrase: &[u8]| {
            let mut data = counting();
            SectorCipher::legacy(passphrase).expect("any passphrase").encrypt(7, &mut data);
            data
        };
        assert_eq!(encrypted(b"0123456789abcdef"), encrypted(b"0123456789abcdefgh"));
        assert_eq!(encrypted(b"short"), encrypted(b"short\0\0"));
        assert_ne!(encrypted(b"short"), encrypted(b"shore"));
    }

    /// A larger sector has one vector, which counts in units of 512 bytes.
    #[test]
    fn sectors_of_any_size_begin_with_the_vector_of_their_number() {
        let cipher = SectorCipher::new(XTS, &[7; 64]).expect("64 bytes");
        for size in [512, 1024, 2048, 4096] {
            let mut sized: Vec<u8> = (0..=255).cycle().take(200 * 4096).collect();
            let mut plain = sized.clone();
            assert!(cipher.decrypt_sized(size, 3, &mut sized));
            cipher.decrypt(3, &mut plain);
            let size = size as usize;
            for (number, (sized, plain)) in sized.chunks(size).zip(plain.chunks(size)).enumerate() {
                assert_eq!(sized[..SECTOR], plain[..SECTOR], "sector {number} of {size} bytes");
                assert_eq!(sized == plain, size == SECTOR, "sector {number} of {size} bytes");
            }
        }
        assert!(!cipher.decrypt_sized(8192, 0, &mut [0; 8192]));
    }

    /// The division into batches must not change the result.
    #[test]
    fn sectors_are_encrypted_independently() {
        let hash = HashAlgorithm::Sha256;
        for algorithm in [CipherAlgorithm::Aes, CipherAlgorithm::Serpent, CipherAlgorithm::Twofish] {
            for mode in [CipherMode::Cbc, CipherMode::Xts] {
                for iv in [IvGenerator::Plain, IvGenerator::Plain64, IvGenerator::Essiv(hash)] {
                    let cipher = SectorCipher::new(CipherSpec { algorithm, mode, iv }, &[9; 32]).expect("32 bytes");
                    // `plain` wraps around where the number exceeds 32 bits.
                    let first = u64::from(u32::MAX) - 70;
                    let plain: Vec<u8> = (0..=255).cycle().take(150 * SECTOR).collect();
                    let mut together = plain.clone();
                    cipher.encrypt(first, &mut together);
                    let mut alone = plain.clone();
                    for (sector, number) in alone.chunks_mut(SECTOR).zip(first..) {
                        cipher.encrypt(number, sector);
                    }
                    assert!(together == alone, "{algorithm:?} {mode:?} {iv:?}");
                    assert_ne!(together[..SECTOR], together[2 * SECTOR..][..SECTOR], "each has its own vector");
                    cipher.decrypt(first, &mut together);
                    assert!(together == plain, "{algorithm:?} {mode:?} {iv:?}");
                }
            }
        }
    }
}
