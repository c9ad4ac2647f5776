//! The sources of a parser: a disk, or a part of one.

use std::rc::Rc;

/// A failed read: past the end, or of bytes that are not available yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadFailed;

impl std::fmt::Display for ReadFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a read past the end of the volume")
    }
}

impl std::error::Error for ReadFailed {}

/// Bytes that can be read at an offset.
pub trait Device {
    /// The size in bytes.
    fn size(&self) -> u64;

    /// Reads the bytes at `offset` into `into`, or fails.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFailed>;

    /// Returns the `N` bytes at `offset`, or `None` if they cannot be read.
    fn bytes<const N: usize>(&self, offset: u64) -> Option<[u8; N]>
    where
        Self: Sized,
    {
        let mut bytes = [0; N];
        self.read_at(offset, &mut bytes).ok()?;
        Some(bytes)
    }
}

impl<D: Device + ?Sized> Device for Rc<D> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFailed> {
        (**self).read_at(offset, into)
    }
}

/// A part of a device, such as a partition.
pub struct Slice<D> {
    device: D,
    start: u64,
    size: u64,
}

impl<D: Device> Slice<D> {
    /// Returns the `size` bytes of `device` from `start`. Bytes past the device's end cannot be read.
    pub fn new(device: D, start: u64, size: u64) -> Self {
        Self { device, start, size }
    }
}

impl<D: Device> Device for Slice<D> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFailed> {
        let end = offset.checked_add(into.len() as u64).ok_or(ReadFailed)?;
        if end > self.size {
            return Err(ReadFailed);
        }
        self.device.read_at(self.start.checked_add(offset).ok_or(ReadFailed)?, into)
    }
}
