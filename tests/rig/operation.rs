//! Requests to an image, made up by chance, and what they make of the disk.

use std::ops::ControlFlow;

use qcow2_web::{CompactOptions, Error, Image, StorageMut, ZeroMode};

use crate::common::index;
use crate::common::random::Random;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Write {
        offset: u64,
        length: u64,
        seed: u64,
    },
    /// Whole clusters.
    Compressed {
        offset: u64,
        length: u64,
        seed: u64,
    },
    Zeroes {
        offset: u64,
        length: u64,
        unmap: bool,
    },
    Discard {
        offset: u64,
        length: u64,
    },
    /// What the backing file shows of that part is copied; nothing changes.
    CopyUp {
        offset: u64,
        length: u64,
    },
    /// Clusters move, and the file is truncated; nothing that can be read changes.
    Compact {
        detect_zeroes: bool,
    },
    Flush,
    /// Closed, and opened again with that many bytes of cached tables.
    Reopen {
        table_cache: usize,
    },
}

/// Which operations there are, and where.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    pub size: u64,
    pub cluster_size: u64,
    /// The longest request, in bytes; some are longer.
    pub longest: u64,
    pub compressed: bool,
    /// One in so many is a flush.
    pub flushes: u64,
    /// One in so many is a reopening.
    pub reopens: u64,
    /// One in so many compacts the image.
    pub compacts: u64,
}

pub const TABLE_CACHES: [usize; 5] = [0, 1 << 10, 8 << 10, 64 << 10, 4 << 20];

impl Mix {
    pub fn pick(&self, random: &mut Random) -> Operation {
        if random.one_in(self.reopens) {
            return Operation::Reopen { table_cache: random.pick(&TABLE_CACHES) };
        }
        if random.one_in(self.flushes) {
            return Operation::Flush;
        }
        if random.one_in(self.compacts) {
            return Operation::Compact { detect_zeroes: random.one_in(2) };
        }
        let (offset, length) = self.range(random);
        let seed = random.next();
        match random.below(13) {
            0..=5 => Operation::Write { offset, length, seed },
            6 | 7 => Operation::Zeroes { offset, length, unmap: random.one_in(2) },
            8 | 9 => Operation::Discard { offset, length },
            10 => Operation::CopyUp { offset, length },
            _ if self.compressed => {
                let (offset, length) = self.aligned(offset, length);
                Operation::Compressed { offset, length, seed }
            }
            _ => Operation::Write { offset, length, seed },
        }
    }

    /// Many are of whole clusters; some begin or end with a sector.
    fn range(&self, random: &mut Random) -> (u64, u64) {
        let offset = random.below(self.size);
        let longest = if random.one_in(12) { self.size } else { self.longest };
        let length = 1 + random.below(longest.min(self.size - offset));
        match random.below(4) {
            0 => self.aligned(offset, length),
            1 => {
                let start = offset / 512 * 512;
                (start, (offset + length).next_multiple_of(512).min(self.size) - start)
            }
            _ => (offset, length),
        }
    }

    fn aligned(&self, offset: u64, length: u64) -> (u64, u64) {
        let start = offset / self.cluster_size * self.cluster_size;
        (start, (offset + length).next_multiple_of(self.cluster_size).min(self.size) - start)
    }
}

impl Operation {
    /// The bytes that it touches; `None` for those that touch none.
    pub fn range(&self) -> Option<(u64, u64)> {
        match self {
            Self::Write { offset, length, .. }
            | Self::Compressed { offset, length, .. }
            | Self::Zeroes { offset, length, .. }
            | Self::Discard { offset, length }
            | Self::CopyUp { offset, length } => Some((*offset, *length)),
            Self::Compact { .. } | Self::Flush | Self::Reopen { .. } => None,
        }
    }

    /// The bytes that it writes.
    pub fn data(&self) -> Vec<u8> {
        match self {
            Self::Write { length, seed, .. } => Random::seeded(*seed).noise(index(*length)),
            // One in four can't be compressed.
            Self::Compressed { length, seed, .. } if seed % 4 == 0 => Random::seeded(*seed).noise(index(*length)),
            Self::Compressed { length, seed, .. } => Random::seeded(*seed).text(index(*length)),
            _ => Vec::new(),
        }
    }

    /// Asks the image for it; a reopening is for the caller to do.
    pub async fn run<S: StorageMut>(&self, image: &Image<S>) -> Result<(), Error<S::Error>> {
        match self {
            Self::Write { offset, .. } => image.write_at(*offset, &self.data()).await,
            Self::Compressed { offset, .. } => image.write_compressed(*offset, &self.data()).await,
            Self::Zeroes { offset, length, unmap } => image.write_zeroes(*offset, *length, zero_mode(*unmap)).await,
            Self::Discard { offset, length } => image.discard(*offset, *length).await,
            Self::CopyUp { offset, length } => image.copy_up(*offset, *length).await,
            Self::Compact { detect_zeroes } => {
                let options = CompactOptions::new().detect_zeroes(*detect_zeroes);
                image.compact(options, |_| ControlFlow::Continue(())).await
            }
            Self::Flush => image.flush().await,
            Self::Reopen { .. } => image.close().await,
        }
    }

    /// Makes the same of a plain disk. What a discard gives back is a matter of the image: `after` is what it reads as,
    /// and has to be zeros or what was there before, and zeros wherever `grain` bytes are discarded together.
    pub fn apply(&self, disk: &mut [u8], after: impl FnOnce() -> Vec<u8>) -> Result<(), String> {
        let Some((offset, length)) = self.range() else { return Ok(()) };
        let range = index(offset)..index(offset + length);
        match self {
            Self::Write { .. } | Self::Compressed { .. } => disk[range].copy_from_slice(&self.data()),
            Self::Zeroes { .. } => disk[range].fill(0),
            Self::Discard { .. } => {
                let after = after();
                if let Some(at) = changed_otherwise(&disk[range.clone()], &after) {
                    return Err(format!("a discard put {:#x} to byte {:#x}", after[at], range.start + at));
                }
                disk[range].copy_from_slice(&after);
            }
            Self::CopyUp { .. } | Self::Compact { .. } | Self::Flush | Self::Reopen { .. } => {}
        }
        Ok(())
    }
}

fn changed_otherwise(before: &[u8], after: &[u8]) -> Option<usize> {
    before.iter().zip(after).position(|(before, after)| after != before && *after != 0)
}

/// The part of the disk that the operation is about.
pub fn part_of(disk: &[u8], operation: &Operation) -> Vec<u8> {
    let (offset, length) = operation.range().expect("it has a range");
    disk[index(offset)..index(offset + length)].to_vec()
}

fn zero_mode(unmap: bool) -> ZeroMode {
    if unmap { ZeroMode::Unmap } else { ZeroMode::KeepAllocated }
}
