//! The bits of a bitmap that were set in memory.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::ops::Range;

/// The number of bitmap bytes per chunk.
const CHUNK: usize = 512;
const CHUNK_BITS: u64 = CHUNK as u64 * 8;

/// A sparse set of bits: chunks without set bits take no memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    chunks: BTreeMap<u64, Chunk>,
}

#[derive(Clone, Debug)]
enum Chunk {
    /// All bits are set.
    Ones,
    Some(Box<[u8; CHUNK]>),
}

impl Bits {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
    }

    /// Sets the bits of `range`.
    pub(crate) fn set(&mut self, range: Range<u64>) {
        let mut at = range.start;
        while at < range.end {
            let (chunk, first) = (at / CHUNK_BITS, at % CHUNK_BITS);
            let end = (first + (range.end - at)).min(CHUNK_BITS);
            if (first, end) == (0, CHUNK_BITS) {
                self.chunks.insert(chunk, Chunk::Ones);
            } else {
                let entry = self.chunks.entry(chunk).or_insert_with(|| Chunk::Some(Box::new([0; CHUNK])));
                if let Chunk::Some(bytes) = entry {
                    set_bits(&mut bytes[..], first..end);
                }
            }
            at += end - first;
        }
    }

    /// Whether any bit in the bytes of `range` is set.
    pub(crate) fn any_in_bytes(&self, range: Range<u64>) -> bool {
        let chunks = range.start / CHUNK as u64..range.end.div_ceil(CHUNK as u64);
        // A chunk without set bits is absent.
        !chunks.is_empty() && self.chunks.range(chunks).next().is_some()
    }

    /// Sets the bits of this set in `bytes`, which are the bytes of the bitmap from `start`. `start` is a multiple of
    /// 512.
    pub(crate) fn merge_into(&self, start: u64, bytes: &mut [u8]) {
        let first = start / CHUNK as u64;
        for (index, part) in bytes.chunks_mut(CHUNK).enumerate() {
            match self.chunks.get(&(first + index as u64)) {
                None => {}
                Some(Chunk::Ones) => part.fill(0xff),
                Some(Chunk::Some(set)) => part.iter_mut().zip(&set[..]).for_each(|(byte, set)| *byte |= set),
            }
        }
    }
}

/// Sets the bits of `range`; bit 0 is the lowest bit of the first byte.
fn set_bits(bytes: &mut [u8], range: Range<u64>) {
    let (first, last) = (range.start / 8, (range.end - 1) / 8);
    for at in first..=last {
        let from = if at == first { range.start % 8 } else { 0 };
        let to = if at == last { (range.end - 1) % 8 } else { 7 };
        let mask = u8::MAX << from & u8::MAX >> (7 - to);
        if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
            *byte |= mask;
        }
    }
}

/// Returns the runs of set bits in `bytes`, as bit indices.
pub(crate) fn runs(bytes: &[u8]) -> impl Iterator<Item = Range<u64>> {
    let mut at = 0;
    let end = bytes.len() as u64 * 8;
    core::iter::from_fn(move || {
        let is_set = |bit: u64| {
            usize::try_from(bit / 8).ok().and_then(|at| bytes.get(at)).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
        };
        while at < end && !is_set(at) {
            at += if at % 8 == 0 && byte_at(bytes, at) == 0 { 8 } else { 1 };
        }
        if at >= end {
            return None;
        }
        let start = at;
        while at < end && is_set(at) {
            at += if at % 8 == 0 && byte_at(bytes, at) == 0xff { 8 } else { 1 };
        }
        Some(start..at)
    })
}

fn byte_at(bytes: &[u8], bit: u64) -> u8 {
    usize::try_from(bit / 8).ok().and_then(|at| bytes.get(at)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn set_bits_are_merged_and_found_again() {
        let mut bits = Bits::default();
        for range in [3..5, 7..9, 4090..4100, 8192..12288, 20000..20001] {
            bits.set(range);
        }
        let mut bytes = vec![0; 4096];
        bits.merge_into(0, &mut bytes);
        let found: Vec<_> = runs(&bytes).collect();
        assert_eq!(found, [3..5, 7..9, 4090..4100, 8192..12288, 20000..20001]);
        assert!(bits.any_in_bytes(0..512) && !bits.any_in_bytes(1536..2048));
    }
}
