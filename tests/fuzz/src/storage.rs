//! Storages that count what is asked of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;

use qcow2_web::{Storage, StorageMut};

/// Contents of a storage, for the engine and for the model.
pub(crate) trait Bytes {
    fn size(&self) -> u64;

    /// Zeros past the end.
    fn fill(&self, offset: u64, buf: &mut [u8]);
}

impl Bytes for Rc<dyn Bytes> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn fill(&self, offset: u64, buf: &mut [u8]) {
        (**self).fill(offset, buf);
    }
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
        buf.fill(0);
        let available = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = available.min(buf.len());
        let buf = &mut buf[..length];
        if self.noise {
            for at in (offset & !7..offset + length as u64).step_by(8) {
                put(buf, offset, at, mix(at));
            }
        }
        for (at, word) in self.words.range(offset.saturating_sub(7)..offset + length as u64) {
            put(buf, offset, *at, *word);
        }
    }
}

/// Puts what belongs into `buf`, which begins at `offset`, of the word at `at`.
fn put(buf: &mut [u8], offset: u64, at: u64, word: u64) {
    let bytes = word.to_be_bytes();
    match at.checked_sub(offset).map(|start| start as usize) {
        Some(start) if start + 8 <= buf.len() => buf[start..start + 8].copy_from_slice(&bytes),
        Some(start) => {
            let length = buf.len() - start;
            buf[start..].copy_from_slice(&bytes[..length]);
        }
        None => {
            let before = (offset - at) as usize;
            let length = buf.len().min(8 - before);
            buf[..length].copy_from_slice(&bytes[before..before + length]);
        }
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

/// A file in memory that can be written, and grow so much.
pub(crate) struct Limited {
    bytes: RefCell<Vec<u8>>,
    most: usize,
    /// A write has failed: so does the next barrier.
    full: Cell<bool>,
    /// A barrier has failed.
    failed: Cell<bool>,
}

/// The file may not grow that much.
#[derive(Debug)]
pub(crate) struct Full;

impl Limited {
    pub(crate) fn new(bytes: Vec<u8>, room: usize) -> Self {
        Self { most: bytes.len() + room, bytes: RefCell::new(bytes), full: Cell::new(false), failed: Cell::new(false) }
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.bytes.borrow())
    }

    /// Sets the word at `offset`, if there is one.
    pub(crate) fn set_word(&self, offset: u64, word: u64) {
        let start = offset as usize;
        if let Some(bytes) = self.bytes.borrow_mut().get_mut(start..start + 8) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
    }

    /// Fails where the file would have to be too long. Nothing may be asked after a barrier that failed, until the file is
    /// opened again.
    fn check_end(&self, end: Option<u64>) -> Result<usize, Full> {
        assert!(!self.failed.get(), "something is asked for after a barrier that failed");
        let end = end.and_then(|end| usize::try_from(end).ok()).filter(|end| *end <= self.most);
        self.full.set(self.full.get() || end.is_none());
        end.ok_or(Full)
    }
}

impl Storage for Limited {
    type Error = Full;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Full> {
        let bytes = self.bytes.borrow();
        let found = usize::try_from(offset).ok().and_then(|start| bytes.get(start..start.checked_add(buf.len())?));
        buf.copy_from_slice(found.unwrap_or_else(|| panic!("{} bytes at {offset} of {}", buf.len(), bytes.len())));
        Ok(())
    }

    /// Asked when it is opened.
    async fn size(&self) -> Result<u64, Full> {
        self.full.set(false);
        self.failed.set(false);
        Ok(self.bytes.borrow().len() as u64)
    }
}

impl StorageMut for Limited {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Full> {
        let end = self.check_end(offset.checked_add(buf.len() as u64))?;
        let mut bytes = self.bytes.borrow_mut();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[end - buf.len()..end].copy_from_slice(buf);
        Ok(())
    }

    async fn set_size(&self, size: u64) -> Result<(), Full> {
        let size = self.check_end(Some(size))?;
        self.bytes.borrow_mut().resize(size, 0);
        Ok(())
    }

    async fn flush(&self) -> Result<(), Full> {
        self.check_end(Some(0))?;
        self.failed.set(self.full.get());
        if self.full.get() { Err(Full) } else { Ok(()) }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file is full")
    }
}

impl std::error::Error for Full {}
