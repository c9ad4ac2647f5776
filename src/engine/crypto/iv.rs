//! The initialisation vector of a sector, from its number.

use alloc::boxed::Box;

use super::block::{BLOCK, Block, BlockCipher};
use super::block_cipher::block_cipher;
use super::hash;
use crate::format::cipher_spec::{CipherAlgorithm, IvGenerator};

pub(super) enum IvSource {
    /// The lower 32 bits of the number, little-endian, before zeros.
    Plain,
    /// The number, little-endian, before zeros.
    Plain64,
    /// That, encrypted by a key that is the hash of the key.
    Essiv(Box<dyn BlockCipher>),
}

impl IvSource {
    /// For a sector cipher with this key; `None` where the cipher takes no key as long as the hash.
    pub(super) fn new(generator: IvGenerator, algorithm: CipherAlgorithm, key: &[u8]) -> Option<Self> {
        Some(match generator {
            IvGenerator::Plain => Self::Plain,
            IvGenerator::Plain64 => Self::Plain64,
            IvGenerator::Essiv(hash) => Self::Essiv(block_cipher(algorithm, &hash::digest(hash, &[key]))?),
        })
    }

    /// The vectors of the sectors from number `first` on.
    pub(super) fn fill(&self, first: u64, vectors: &mut [Block]) {
        for (vector, index) in vectors.iter_mut().zip(0..) {
            let sector = first.wrapping_add(index);
            let number = if matches!(self, Self::Plain) { sector & u64::from(u32::MAX) } else { sector };
            let mut bytes = [0; BLOCK];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            *vector = bytes.into();
        }
        if let Self::Essiv(cipher) = self {
            cipher.encrypt(vectors);
        }
    }
}
