use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use super::contract::{Storage, StorageMut};

/// A storage in memory. It is always ready, and its writes count as durable immediately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStorage {
    bytes: RefCell<Vec<u8>>,
}

impl MemoryStorage {
    /// Returns the bytes of the storage.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_inner()
    }
}

impl From<Vec<u8>> for MemoryStorage {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: RefCell::new(bytes) }
    }
}

impl Storage for MemoryStorage {
    type Error = PastEnd;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), PastEnd> {
        let past_end = PastEnd { offset, length: buf.len() };
        let start = usize::try_from(offset).map_err(|_| past_end)?;
        let end = start.checked_add(buf.len()).ok_or(past_end)?;
        buf.copy_from_slice(self.bytes.borrow().get(start..end).ok_or(past_end)?);
        Ok(())
    }

    async fn size(&self) -> Result<u64, PastEnd> {
        Ok(self.bytes.borrow().len() as u64)
    }
}

impl StorageMut for MemoryStorage {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), PastEnd> {
        let past_end = PastEnd { offset, length: buf.len() };
        let start = usize::try_from(offset).map_err(|_| past_end)?;
        let end = start.checked_add(buf.len()).ok_or(past_end)?;
        let mut bytes = self.bytes.borrow_mut();
        if end > bytes.len() {
            let more = end - bytes.len();
            bytes.try_reserve(more).map_err(|_| past_end)?;
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(buf);
        Ok(())
    }

    async fn set_size(&self, size: u64) -> Result<(), PastEnd> {
        let past_end = PastEnd { offset: size, length: 0 };
        let size = usize::try_from(size).map_err(|_| past_end)?;
        let mut bytes = self.bytes.borrow_mut();
        let more = size.saturating_sub(bytes.len());
        bytes.try_reserve(more).map_err(|_| past_end)?;
        bytes.resize(size, 0);
        Ok(())
    }

    async fn flush(&self) -> Result<(), PastEnd> {
        Ok(())
    }
}

/// A request past the end of a [`MemoryStorage`], or for more memory than is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastEnd {
    /// The offset of the request, in bytes.
    pub offset: u64,
    /// The length of the request, in bytes.
    pub length: usize,
}

impl fmt::Display for PastEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at offset {} reach past the end", self.length, self.offset)
    }
}

impl core::error::Error for PastEnd {}
