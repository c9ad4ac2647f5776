//! A sound image, and the bytes of it that a reader needs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use qcow2_web_files::source::{Device, ReadFailed};
use qcow2_web_files::{Cache, Volume, disk};

pub(super) const BLOCK: usize = 4096;

/// A sound image.
pub(super) struct Sound {
    pub(super) size: u64,
    /// The blocks that are not zeros.
    pub(super) blocks: HashMap<u64, Box<[u8]>>,
    /// The offsets of the bytes that a change can hit: those that a reader reads, and that are near others than zeros.
    pub(super) targets: Vec<u64>,
    /// The blocks with a checksum of btrfs at their start.
    pub(super) summed: Vec<Range<u64>>,
}

impl Sound {
    /// Loads the image `name`.
    pub(super) fn load(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/volumes").join(format!("{name}.blocks"));
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (size, blocks) = number(&bytes);
        let blocks = blocks.chunks(8 + BLOCK).map(number).map(|(number, block)| (number, block.into())).collect();
        let mut sound = Self { size, blocks, targets: Vec::new(), summed: Vec::new() };
        let ranges = sound.read_ranges();
        sound.targets = sound.near_content(&ranges);
        if name == "btrfs" {
            sound.summed = ranges.into_iter().filter(|range| sound.is_summed(range)).collect();
        }
        assert!(!sound.targets.is_empty(), "nothing is read of {name}");
        sound
    }

    pub(super) fn byte(&self, at: u64) -> u8 {
        self.blocks
            .get(&(at / BLOCK as u64))
            .map_or(0, |block| block[usize::try_from(at % BLOCK as u64).expect("less than a block")])
    }

    /// The ranges that are read while the root is listed and its files are opened.
    fn read_ranges(&self) -> Vec<Range<u64>> {
        let copy = Rc::new(Recording { sound: self.blocks.clone(), size: self.size, ranges: RefCell::default() });
        let cache = Rc::new(Cache::new(self.size, None));
        let device: Rc<dyn Device> = copy.clone();
        for found in disk::scan(&device, &[]).volumes {
            let Some(recognised) = found.recognised else { continue };
            let mut volume = Volume::new(cache.clone(), found.device, recognised.kind);
            let mut left = super::MOST_ENTRIES;
            super::read_directory(&mut volume, b"", super::DEEPEST, &mut left);
        }
        let mut ranges = copy.ranges.take();
        ranges.sort_by_key(|range| (range.start, range.end));
        ranges.dedup();
        // What is longer is content.
        ranges.retain(|range| range.end - range.start <= 32 << 10);
        ranges
    }

    fn near_content(&self, ranges: &[Range<u64>]) -> Vec<u64> {
        const NEAR: u64 = 8;
        let mut targets: Vec<u64> = ranges
            .iter()
            .flat_map(Clone::clone)
            .filter(|at| (at.saturating_sub(NEAR)..at + NEAR).any(|near| self.byte(near) != 0))
            .collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    fn is_summed(&self, range: &Range<u64>) -> bool {
        let bytes: Vec<u8> = range.clone().map(|at| self.byte(at)).collect();
        bytes.len() >= BLOCK && bytes[..4] == super::changed::checksum(&bytes[32..]).to_le_bytes()
    }
}

/// Splits a number off the start of `bytes`.
fn number(bytes: &[u8]) -> (u64, &[u8]) {
    let (number, rest) = bytes.split_first_chunk().expect("a file that make-volumes.mjs made");
    (u64::from_le_bytes(*number), rest)
}

/// The sound image as a device that records what is read.
struct Recording {
    sound: HashMap<u64, Box<[u8]>>,
    size: u64,
    ranges: RefCell<Vec<Range<u64>>>,
}

impl Device for Recording {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFailed> {
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.size).ok_or(ReadFailed)?;
        copy(&self.sound, offset, into);
        self.ranges.borrow_mut().push(offset..end);
        Ok(())
    }
}

/// Copies the bytes at `offset` of an image.
pub(super) fn copy(blocks: &HashMap<u64, Box<[u8]>>, offset: u64, into: &mut [u8]) {
    let mut at = offset;
    let mut left = into;
    while !left.is_empty() {
        let within = usize::try_from(at % BLOCK as u64).expect("less than a block");
        let count = left.len().min(BLOCK - within);
        let (now, rest) = left.split_at_mut(count);
        match blocks.get(&(at / BLOCK as u64)) {
            Some(block) => now.copy_from_slice(&block[within..within + count]),
            None => now.fill(0),
        }
        left = rest;
        at += count as u64;
    }
}
