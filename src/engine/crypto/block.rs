//! Blocks of 16 bytes. Ciphers process many blocks per call, which makes them fast.

use cipher::consts::U16;
use cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser};

pub(super) const BLOCK: usize = 16;

/// The number of blocks in a sector of 512 bytes.
pub(crate) const BLOCKS_PER_SECTOR: usize = 512 / BLOCK;

/// A block, in the type that the cipher crates use.
pub(super) type Block = Array<u8, U16>;

/// A cipher with its key. The key is wiped when this is dropped.
pub(super) trait BlockCipher {
    fn encrypt(&self, blocks: &mut [Block]);
    fn decrypt(&self, blocks: &mut [Block]);
}

impl<C> BlockCipher for C
where
    C: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U16>,
{
    fn encrypt(&self, blocks: &mut [Block]) {
        self.encrypt_blocks(blocks);
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        self.decrypt_blocks(blocks);
    }
}

/// Computes the XOR of `block` and `other` into `block`.
pub(super) fn xor(block: &mut Block, other: &Block) {
    let sum = u128::from_ne_bytes((*block).into()) ^ u128::from_ne_bytes((*other).into());
    *block = sum.to_ne_bytes().into();
}
