//! The contents of an encrypted container.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::device::{Device, ReadFailed};

/// The bytes that are decrypted together. All sector sizes divide it.
const UNIT: u64 = 4096;
/// Reads from this length are decrypted directly, because they are contents and not metadata.
const LARGE: usize = 32 << 10;
/// The most units that are kept. Parsers read the same metadata again and again.
const KEPT: usize = 1024;

/// Decrypts whole sectors. The number is that of the first sector, in units of 512 bytes. Returns false if it cannot.
pub type Decrypt = Box<dyn Fn(u64, &mut [u8]) -> bool>;

/// A part of a container that is unlocked.
pub struct Decrypted {
    device: Rc<dyn Device>,
    start: u64,
    size: u64,
    /// The number of the first sector.
    first: u64,
    decrypt: Decrypt,
    units: RefCell<HashMap<u64, Box<[u8]>>>,
}

impl Decrypted {
    /// Returns the `size` bytes of `device` from `start`, decrypted. `first` is the number of the first sector.
    pub fn new(device: Rc<dyn Device>, start: u64, size: u64, first: u64, decrypt: Decrypt) -> Self {
        let most = device.size().saturating_sub(start);
        // The bytes after the last whole sector belong to none.
        let size = size.min(most) / 512 * 512;
        Self { device, start, size, first, decrypt, units: RefCell::default() }
    }

    /// Reads and decrypts whole sectors.
    fn read_sectors(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFailed> {
        self.device.read_at(self.start.checked_add(offset).ok_or(ReadFailed)?, into)?;
        if (self.decrypt)(self.first.wrapping_add(offset / 512), into) { Ok(()) } else { Err(ReadFailed) }
    }

    fn read_unit(&self, number: u64, within: u64, into: &mut [u8]) -> Result<(), ReadFailed> {
        let mut units = self.units.borrow_mut();
        if !units.contains_key(&number) {
            let start = number * UNIT;
            let mut unit = buffer(UNIT.min(self.size - start))?;
            self.read_sectors(start, &mut unit)?;
            if units.len() >= KEPT {
                units.clear();
            }
            units.insert(number, unit.into());
        }
        let within = usize::try_from(within).map_err(|_| ReadFailed)?;
        let unit = units.get(&number).ok_or(ReadFailed)?;
        into.copy_from_slice(unit.get(within..within + into.len()).ok_or(ReadFailed)?);
        Ok(())
    }
}

impl Device for Decrypted {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFailed> {
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.size).ok_or(ReadFailed)?;
        if into.len() >= LARGE {
            let from = offset / UNIT * UNIT;
            let mut whole = buffer(end.next_multiple_of(UNIT).min(self.size) - from)?;
            self.read_sectors(from, &mut whole)?;
            let within = usize::try_from(offset - from).map_err(|_| ReadFailed)?;
            into.copy_from_slice(whole.get(within..within + into.len()).ok_or(ReadFailed)?);
            return Ok(());
        }
        let mut at = offset;
        let mut left = into;
        while !left.is_empty() {
            let (number, within) = (at / UNIT, at % UNIT);
            let count = left.len().min(usize::try_from(UNIT - within).map_err(|_| ReadFailed)?);
            let (now, rest) = left.split_at_mut(count);
            self.read_unit(number, within, now)?;
            left = rest;
            at += count as u64;
        }
        Ok(())
    }
}

fn buffer(length: u64) -> Result<Vec<u8>, ReadFailed> {
    Ok(vec![0; usize::try_from(length).map_err(|_| ReadFailed)?])
}
