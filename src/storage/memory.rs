use alloc::vec::Vec;
use core::fmt;

use super::Storage;

/// An image held in memory; always ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStorage {
    bytes: Vec<u8>,
}

impl From<Vec<u8>> for MemoryStorage {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }
}

impl Storage for MemoryStorage {
    type Error = PastEnd;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), PastEnd> {
        let past_end = PastEnd { offset, length: buf.len() };
        let start = usize::try_from(offset).map_err(|_| past_end)?;
        let end = start.checked_add(buf.len()).ok_or(past_end)?;
        buf.copy_from_slice(self.bytes.get(start..end).ok_or(past_end)?);
        Ok(())
    }

    async fn size(&self) -> Result<u64, PastEnd> {
        Ok(self.bytes.len() as u64)
    }
}

/// A read that reaches past the end of a [`MemoryStorage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastEnd {
    /// Where the read began, in bytes.
    pub offset: u64,
    /// How many bytes it asked for.
    pub length: usize,
}

impl fmt::Display for PastEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a read of {} bytes at offset {} reaches past the end", self.length, self.offset)
    }
}

impl core::error::Error for PastEnd {}
