//! Generates the initialisation vectors of sectors from their numbers.

use alloc::boxed::Box;

use super::block::{BLOCK, Block, BlockCipher};
use super::block_cipher::block_cipher;
use super::hash;
use crate::format::cipher_spec::{CipherAlgorithm, IvGenerator};

pub(super) enum IvSource {
    /// The lower 32 bits of the sector number, little-endian, followed by zeros.
    Plain,
    /// The sector number, little-endian, followed by zeros.
    Plain64,
    /// The vector of `Plain64`, encrypted with a key that is the hash of the key.
    Essiv(Box<dyn BlockCipher>),
}

impl IvSource {
    /// Creates the source for a sector cipher with this key. Returns `None` if the cipher has no keys as long as the hash.
    pub(super) fn new(generator: IvGenerator, algorithm: CipherAlgorithm, key: &[u8]) -> Option<Self> {
        Some(match generator {
            IvGenerator::Plain => Self::Plain,
            IvGenerator::Plain64 => Self::Plain64,
            IvGenerator::Essiv(hash) => Self::Essiv(block_cipher(algorithm, &hash::digest(hash, &[key]))?),
        })
    }

    /// Fills `vectors` with those of every `stride`th sector from number `first`.
    pub(super) fn fill(&self, first: u64, stride: u64, vectors: &mut [Block]) {
        for (vector, index) in vectors.iter_mut().zip(0..) {
            let sector = first.wrapping_add(stride.wrapping_mul(index));
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
