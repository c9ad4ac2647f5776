//! Storages that count what is asked of them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use qcow2_web::Storage;

/// Contents of a storage, for the engine and for the model.
pub(crate) trait Bytes {
    fn size(&self) -> u64;

    /// Zeros past the end.
    fn fill(&self, offset: u64, buf: &mut [u8]);
}

impl Bytes for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn fill(&self, offset: u64, buf: &mut [u8]) {
        buf.fill(0);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let length = buf.len().min(self.len() - start);
        buf[..length].copy_from_slice(&self[start..start + length]);
    }
}

/// A file of any size: some words at places of their own, and something everywhere else.
pub(crate) struct Sparse {
    pub(crate) size: u64,
    /// By offset, a multiple of 8.
    pub(crate) words: BTreeMap<u64, u64>,
    /// Noise that depends on the offset, or zeros.
    pub(crate) noise: bool,
}

impl Sparse {
    fn word(&self, offset: u64) -> u64 {
        match self.words.get(&offset) {
            _ if offset >= self.size => 0,
            Some(word) => *word,
            None if self.noise => mix(offset),
            None => 0,
        }
    }
}

/// A number without a pattern for each number.
fn mix(number: u64) -> u64 {
    let mixed = (number ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (mixed >> 32)
}

impl Bytes for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn fill(&self, offset: u64, buf: &mut [u8]) {
        if !self.noise
            && self.words.range(offset.saturating_sub(7)..offset.saturating_add(buf.len() as u64)).next().is_none()
        {
            return buf.fill(0);
        }
        let mut at = offset;
        let mut left = buf;
        while !left.is_empty() {
            let within = (at % 8) as usize;
            let count = left.len().min(8 - within);
            let (now, rest) = left.split_at_mut(count);
            let word = self.word(at - within as u64).to_be_bytes();
            now.copy_from_slice(&word[within..within + count]);
            at += count as u64;
            left = rest;
        }
        // The last word may reach out of the file; the size is a multiple of 8 in all that is made here.
    }
}

/// Hands out the contents of `bytes`, and counts.
pub(crate) struct Counted<B> {
    pub(crate) bytes: B,
    requests: Cell<u64>,
    transferred: Cell<u64>,
}

impl<B> Counted<B> {
    pub(crate) fn new(bytes: B) -> Self {
        Self { bytes, requests: Cell::new(0), transferred: Cell::new(0) }
    }

    /// How many requests and bytes `body` takes.
    pub(crate) fn count<T>(&self, body: impl FnOnce() -> T) -> (T, Cost) {
        let before = (self.requests.get(), self.transferred.get());
        let result = body();
        let requests = self.requests.get() - before.0;
        (result, Cost { requests, bytes: self.transferred.get() - before.1 })
    }
}

#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

impl<B: Bytes> Storage for Counted<B> {
    type Error = Infallible;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Infallible> {
        let end = offset.checked_add(buf.len() as u64);
        assert!(
            end.is_some_and(|end| end <= self.bytes.size()),
            "{} bytes at {offset} of {}",
            buf.len(),
            self.bytes.size()
        );
        self.requests.set(self.requests.get() + 1);
        self.transferred.set(self.transferred.get() + buf.len() as u64);
        self.bytes.fill(offset, buf);
        Ok(())
    }

    async fn size(&self) -> Result<u64, Infallible> {
        Ok(self.bytes.size())
    }
}
