//! What is read, in which order.

use crate::random::Random;

/// How an image is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// All of it, 1 MiB at a time.
    Sequential,
    /// 4 KiB at a time, anywhere.
    Random,
    /// The same, for an image where each read costs much.
    RandomFew,
}

const READS: usize = 100_000;
const FEW_READS: usize = 2_000;
const SAMPLES: usize = 500;

pub(crate) struct Workload {
    pub(crate) pattern: Pattern,
    offsets: Vec<u64>,
}

/// What a buffer is made of, so that it begins at a page.
#[repr(align(4096))]
#[derive(Clone, Copy)]
#[expect(dead_code, reason = "it is read as bytes")]
struct Page([u8; 4096]);

pub(crate) struct Buffer {
    pages: Vec<Page>,
}

impl Workload {
    pub(crate) fn new(pattern: Pattern, size: u64) -> Self {
        let mut random = Random::seeded(1);
        let length = pattern.length() as u64;
        let mut anywhere = |count| (0..count).map(|_| random.below(size / length) * length).collect();
        let offsets = match pattern {
            Pattern::Sequential => (0..size / length).map(|index| index * length).collect(),
            Pattern::Random => anywhere(READS),
            Pattern::RandomFew => anywhere(FEW_READS),
        };
        Self { pattern, offsets }
    }

    pub(crate) fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// How often the raw file is read, for a time that can be measured.
    pub(crate) fn raw_repeats(&self) -> u32 {
        if self.pattern == Pattern::RandomFew { 25 } else { 1 }
    }

    pub(crate) fn length(&self) -> usize {
        self.pattern.length()
    }

    /// Some of the reads, from all over.
    pub(crate) fn sample(&self) -> impl Iterator<Item = u64> {
        self.offsets.iter().copied().step_by((self.offsets.len() / SAMPLES).max(1))
    }

    pub(crate) fn buffer(&self) -> Buffer {
        Buffer::new(self.length())
    }
}

impl Buffer {
    /// Of `length` zeros, a multiple of 4096.
    pub(crate) fn new(length: usize) -> Self {
        Self { pages: vec![Page([0; 4096]); length / 4096] }
    }
}

impl Pattern {
    fn length(self) -> usize {
        if self == Self::Sequential { 1 << 20 } else { 4096 }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: a page is 4096 bytes without padding, and any bytes are valid.
        unsafe { std::slice::from_raw_parts(self.pages.as_ptr().cast(), self.pages.len() * 4096) }
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.pages.as_mut_ptr().cast(), self.pages.len() * 4096) }
    }
}
