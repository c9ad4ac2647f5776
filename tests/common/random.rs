//! A seeded stream of numbers, so that a failure can be repeated.

use super::index;

/// `splitmix64`: small, good enough, the same everywhere.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `limit` - 1; 0 for a limit of 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[index(self.below(choices.len() as u64))].clone()
    }

    /// Bytes without any pattern.
    pub fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Bytes that a compressor makes about half as long, with repetitions near and far.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::with_capacity(length + 64);
        while bytes.len() < length {
            if bytes.len() > 16 && self.one_in(4) {
                let start = index(self.below(bytes.len() as u64 - 8));
                let end = (start + 4 + index(self.below(40))).min(bytes.len());
                bytes.extend_from_within(start..end);
            } else {
                bytes.extend(self.next().to_le_bytes().map(|byte| b'a' + byte % 16));
            }
        }
        bytes.truncate(length);
        bytes
    }
}
