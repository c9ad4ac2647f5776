//! Bit-sliced AES (FIPS 197) with WebAssembly vectors: eight blocks at once, in constant time.
//!
//! The `aes` crate uses no vectors on WebAssembly, and takes twice as long.

mod key_schedule;
mod plane;
mod sbox;
mod state;

use alloc::vec::Vec;

use zeroize::Zeroizing;

use self::state::{LANES, State};
use super::block::{BLOCK, Block, BlockCipher};

/// AES with a key of 128, 192 or 256 bits. The key is wiped when this is dropped.
pub(super) struct Aes {
    round_keys: Zeroizing<Vec<State>>,
}

impl Aes {
    /// Returns `None` if AES has no keys of that length.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        Some(Self { round_keys: key_schedule::round_keys(key)? })
    }

    fn encrypt_state(&self, state: State) -> State {
        let [first, middle @ .., last] = &**self.round_keys else { return state };
        let mut state = state.add_round_key(first);
        for key in middle {
            state = state.sub_bytes().shift_rows().mix_columns().add_round_key(key);
        }
        state.sub_bytes().shift_rows().add_round_key(last)
    }

    fn decrypt_state(&self, state: State) -> State {
        let [first, middle @ .., last] = &**self.round_keys else { return state };
        let mut state = state.add_round_key(last);
        for key in middle.iter().rev() {
            state = state.shift_rows_back().sub_bytes_back().add_round_key(key).mix_columns_back();
        }
        state.shift_rows_back().sub_bytes_back().add_round_key(first)
    }
}

impl BlockCipher for Aes {
    fn encrypt(&self, blocks: &mut [Block]) {
        each_batch(blocks, |state| self.encrypt_state(state));
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        each_batch(blocks, |state| self.decrypt_state(state));
    }
}

fn each_batch(blocks: &mut [Block], pass: impl Fn(State) -> State) {
    for blocks in blocks.chunks_mut(LANES) {
        let mut batch = [[0; BLOCK]; LANES];
        for (lane, block) in batch.iter_mut().zip(&*blocks) {
            *lane = (*block).into();
        }
        let batch = pass(State::from_blocks(batch)).into_blocks();
        for (block, lane) in blocks.iter_mut().zip(batch) {
            *block = lane.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use aes::{Aes128, Aes192, Aes256};
    use cipher::consts::U16;
    use cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// Bytes without a pattern (splitmix64).
    struct Random(u64);

    impl Random {
        fn byte(&mut self) -> u8 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (word >> 56) as u8
        }

        fn bytes(&mut self, count: usize) -> Vec<u8> {
            (0..count).map(|_| self.byte()).collect()
        }

        fn blocks(&mut self, count: usize) -> Vec<Block> {
            (0..count).map(|_| Array::from_fn(|_| self.byte())).collect()
        }
    }

    /// Compares with the crate, for numbers of blocks that fill whole batches and for others.
    #[track_caller]
    fn equals_the_crate<C>(key_length: usize)
    where
        C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U16>,
    {
        let mut random = Random(key_length as u64);
        for count in (0..=2 * LANES + 1).chain([100]) {
            let key = random.bytes(key_length);
            let ours = Aes::new(&key).expect("a key of that length");
            let theirs = C::new_from_slice(&key).expect("a key of that length");
            let blocks = random.blocks(count);

            let (mut own, mut expected) = (blocks.clone(), blocks.clone());
            ours.encrypt(&mut own);
            for block in &mut expected {
                theirs.encrypt_block(block);
            }
            assert!(own == expected, "{count} blocks encrypted by {key:x?}");

            let (mut own, mut expected) = (blocks.clone(), blocks);
            ours.decrypt(&mut own);
            for block in &mut expected {
                theirs.decrypt_block(block);
            }
            assert!(own == expected, "{count} blocks decrypted by {key:x?}");
        }
    }

    #[test]
    fn results_equal_those_of_the_aes_crate() {
        equals_the_crate::<Aes128>(16);
        equals_the_crate::<Aes192>(24);
        equals_the_crate::<Aes256>(32);
    }
}
