//! A sound image with the changes of an input.

use std::collections::HashMap;
use std::rc::Rc;

use qcow2_web_files::Cache;

use super::sound::{BLOCK, Sound, copy};

/// The bytes before a change: the number of a target in three bytes, and the length.
const HEAD: usize = 4;
const LONGEST: usize = 8;

/// An image with changes.
pub(super) struct Changed {
    sound: &'static Sound,
    /// The blocks that differ.
    blocks: HashMap<u64, Box<[u8]>>,
}

impl Changed {
    /// Changes `sound` as `input` says.
    pub(super) fn new(sound: &'static Sound, input: &[u8]) -> Rc<Self> {
        let mut changed = Self { sound, blocks: HashMap::new() };
        let mut left = input;
        while let [low, middle, high, length, rest @ ..] = left {
            let number = u32::from_le_bytes([*low, *middle, *high, 0]) as usize % sound.targets.len();
            let (bytes, rest) = rest.split_at(rest.len().min(usize::from(*length) % LONGEST + 1));
            for (at, byte) in (sound.targets[number]..sound.size).zip(bytes) {
                changed.set(at, *byte);
            }
            left = rest;
        }
        debug_assert!(left.len() < HEAD);
        changed.sum();
        Rc::new(changed)
    }

    /// A cache over the image, which is read at once.
    pub(super) fn cache(self: &Rc<Self>) -> Rc<Cache> {
        let image = self.clone();
        let read = move |offset: u64, into: &mut [u8]| {
            assert!(offset + into.len() as u64 <= image.sound.size, "a read past the end of the disk");
            image.read(offset, into);
            true
        };
        Rc::new(Cache::new(self.sound.size, Some(Box::new(read))))
    }

    fn read(&self, offset: u64, into: &mut [u8]) {
        copy(&self.sound.blocks, offset, into);
        let end = offset + into.len() as u64;
        for (number, block) in &self.blocks {
            let start = number * BLOCK as u64;
            let (from, to) = (start.max(offset), (start + BLOCK as u64).min(end));
            if from < to {
                let (of, at) = (index(from - start), index(from - offset));
                into[at..at + index(to - from)].copy_from_slice(&block[of..of + index(to - from)]);
            }
        }
    }

    fn set(&mut self, at: u64, byte: u8) {
        let number = at / BLOCK as u64;
        let sound = &self.sound.blocks;
        let block = self
            .blocks
            .entry(number)
            .or_insert_with(|| sound.get(&number).cloned().unwrap_or_else(|| vec![0; BLOCK].into()));
        block[index(at % BLOCK as u64)] = byte;
    }

    /// Makes the checksums right, so that changes reach what is behind them.
    fn sum(&mut self) {
        for range in &self.sound.summed {
            let mut numbers = range.start / BLOCK as u64..range.end.div_ceil(BLOCK as u64);
            if numbers.any(|number| self.blocks.contains_key(&number)) {
                let mut bytes = vec![0; index(range.end - range.start)];
                self.read(range.start, &mut bytes);
                for (at, byte) in (range.start..).zip(checksum(&bytes[32..]).to_le_bytes()) {
                    self.set(at, byte);
                }
            }
        }
    }
}

/// CRC-32C, the checksum of btrfs.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0x82f6_3b78 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("the fuzz targets run where an index has 64 bits")
}
