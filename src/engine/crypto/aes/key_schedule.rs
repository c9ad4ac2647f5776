//! The round keys: FIPS 197, section 5.2.

use alloc::vec::Vec;
use core::array;

use zeroize::Zeroizing;

use super::state::{LANES, State};
use crate::crypto::block::BLOCK;

type Word = [u8; 4];

/// The value of the S-box for 0.
const SBOX_CONSTANT: u8 = 0x63;

/// Returns the round keys, in order. Returns `None` if AES has no keys of that length.
///
/// All keys except the first include the constant of the S-box in every byte, so that the S-boxes can omit it: `ShiftRows`
/// and `MixColumns` don't change that constant.
pub(super) fn round_keys(key: &[u8]) -> Option<Zeroizing<Vec<State>>> {
    let (words, []) = key.as_chunks() else { return None };
    if !matches!(words.len(), 4 | 6 | 8) {
        return None;
    }
    let words = expand(words);
    let keys = words.as_chunks::<4>().0.iter().enumerate().map(|(round, words)| {
        let constant = if round == 0 { 0 } else { SBOX_CONSTANT };
        let key: [u8; BLOCK] = array::from_fn(|index| words[index / 4][index % 4] ^ constant);
        State::from_blocks([key; LANES])
    });
    Some(Zeroizing::new(keys.collect()))
}

/// `KeyExpansion` of a key of four, six or eight words.
fn expand(key: &[Word]) -> Zeroizing<Vec<Word>> {
    let count = 4 * (key.len() + 7);
    let mut words = Zeroizing::new(Vec::with_capacity(count));
    words.extend_from_slice(key);
    let mut constant = 1_u8;
    for index in key.len()..count {
        let mut word: Word = words[index - 1];
        match index % key.len() {
            0 => {
                word.rotate_left(1);
                word = substitute(word);
                word[0] ^= constant;
                constant = (constant << 1) ^ ((constant >> 7) * 0x1b);
            }
            4 if key.len() == 8 => word = substitute(word),
            _ => {}
        }
        let before = words[index - key.len()];
        words.push(array::from_fn(|row| word[row] ^ before[row]));
    }
    words
}

/// `SubWord`.
fn substitute(word: Word) -> Word {
    let blocks = [array::from_fn(|index| word[index % 4]); LANES];
    let [block, ..] = State::from_blocks(blocks).sub_bytes().into_blocks();
    array::from_fn(|row| block[row] ^ SBOX_CONSTANT)
}
