//! Cipher block chaining, sector by sector.

use super::block::{BLOCKS_PER_SECTOR, Block, BlockCipher, xor};

/// The number of sectors per batch. One block of each fits on the stack.
const BATCH: usize = 64;

/// Encrypts sectors, each with its own initialisation vector.
///
/// Each block of a sector depends on the block before it. So each call of the cipher gets the blocks with the same index of
/// many sectors.
pub(super) fn encrypt(cipher: &dyn BlockCipher, sectors: &mut [[Block; BLOCKS_PER_SECTOR]], vectors: &[Block]) {
    for (sectors, vectors) in sectors.chunks_mut(BATCH).zip(vectors.chunks(BATCH)) {
        let mut chain = [Block::default(); BATCH];
        let chain = &mut chain[..sectors.len().min(vectors.len())];
        chain.copy_from_slice(&vectors[..chain.len()]);
        for rank in 0..BLOCKS_PER_SECTOR {
            for (block, sector) in chain.iter_mut().zip(&*sectors) {
                xor(block, &sector[rank]);
            }
            cipher.encrypt(chain);
            for (block, sector) in chain.iter().zip(&mut *sectors) {
                sector[rank] = *block;
            }
        }
    }
}

/// Decrypts sectors. All blocks are independent of each other.
pub(super) fn decrypt<const BLOCKS: usize>(
    cipher: &dyn BlockCipher,
    sectors: &mut [[Block; BLOCKS]],
    vectors: &[Block],
) {
    const SECTORS: usize = 4;
    for (sectors, vectors) in sectors.chunks_mut(SECTORS).zip(vectors.chunks(SECTORS)) {
        let mut encrypted = [[Block::default(); BLOCKS]; SECTORS];
        let encrypted = &mut encrypted[..sectors.len()];
        encrypted.copy_from_slice(sectors);
        cipher.decrypt(sectors.as_flattened_mut());
        for ((sector, encrypted), vector) in sectors.iter_mut().zip(&*encrypted).zip(vectors) {
            let (first, rest) = sector.split_at_mut(1);
            xor(&mut first[0], vector);
            for (block, before) in rest.iter_mut().zip(encrypted) {
                xor(block, before);
            }
        }
    }
}
