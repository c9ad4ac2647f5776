//! XTS (IEEE 1619) of whole sectors.

use super::block::{Block, BlockCipher, xor};

/// The number of sectors per batch. Their tweaks fit on the stack.
const BATCH: usize = 8;

/// Encrypts or decrypts sectors with `pass`. This encrypts `vectors` to the first tweaks of the sectors.
pub(super) fn apply<const BLOCKS: usize>(
    tweak_cipher: &dyn BlockCipher,
    sectors: &mut [[Block; BLOCKS]],
    vectors: &mut [Block],
    pass: impl Fn(&mut [Block]),
) {
    tweak_cipher.encrypt(vectors);
    for (sectors, first_tweaks) in sectors.chunks_mut(BATCH).zip(vectors.chunks(BATCH)) {
        let mut tweaks = [[Block::default(); BLOCKS]; BATCH];
        let tweaks = &mut tweaks[..sectors.len()];
        for (tweaks, first) in tweaks.iter_mut().zip(first_tweaks) {
            fill_tweaks(tweaks, first);
        }
        let (blocks, tweaks) = (sectors.as_flattened_mut(), tweaks.as_flattened());
        xor_all(blocks, tweaks);
        pass(blocks);
        xor_all(blocks, tweaks);
    }
}

fn xor_all(blocks: &mut [Block], others: &[Block]) {
    for (block, other) in blocks.iter_mut().zip(others) {
        xor(block, other);
    }
}

/// Fills `tweaks`: each is the one before times x, in GF(2^128) with the polynomial x^128 + x^7 + x^2 + x + 1.
fn fill_tweaks(tweaks: &mut [Block], first: &Block) {
    let mut tweak = u128::from_le_bytes((*first).into());
    for tweak_slot in tweaks {
        *tweak_slot = tweak.to_le_bytes().into();
        tweak = (tweak << 1) ^ ((tweak >> 127) * 0x87);
    }
}
