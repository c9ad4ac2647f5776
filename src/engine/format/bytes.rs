//! Reads the integers of a record by their positions.

use byteorder::{BigEndian, ByteOrder};

use crate::error::Corrupt;

/// A record of big-endian integers. A read past its end returns `None`.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a>(pub(crate) &'a [u8]);

impl<'a> Record<'a> {
    pub(crate) fn u8(self, at: u64) -> Option<u8> {
        self.slice(at, 1).map(|bytes| bytes[0])
    }

    pub(crate) fn u16(self, at: u64) -> Option<u16> {
        self.slice(at, 2).map(BigEndian::read_u16)
    }

    pub(crate) fn u32(self, at: u64) -> Option<u32> {
        self.slice(at, 4).map(BigEndian::read_u32)
    }

    pub(crate) fn u64(self, at: u64) -> Option<u64> {
        self.slice(at, 8).map(BigEndian::read_u64)
    }

    pub(crate) fn slice(self, at: u64, length: u64) -> Option<&'a [u8]> {
        let end = at.checked_add(length)?;
        self.0.get(usize::try_from(at).ok()?..usize::try_from(end).ok()?)
    }

    /// Returns the error for a header that ends too early.
    pub(crate) fn truncated_header(self) -> Corrupt {
        Corrupt::HeaderTruncated { length: self.0.len() as u64 }
    }
}
