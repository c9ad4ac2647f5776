//! Reading what can be read of a disk that is damaged.

use crate::format::units::usize_of;
use alloc::vec::Vec;
use core::ops::Range;

use super::check_bounds;
use crate::error::Error;
use crate::image::Image;
use crate::storage::Storage;

/// What a storage may fail to read by itself; a broken table or stream costs a cluster at least.
const SMALLEST: u64 = 4096;

/// A part of a disk that can't be read.
#[derive(Debug)]
pub struct Unreadable<E> {
    /// Where it begins on the disk, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Why its first part can't be read.
    pub error: Error<E>,
}

impl<S: Storage> Image<S> {
    /// Fills `buf` with the disk's bytes at `offset` as far as they can be read, and with zeros elsewhere. Returns the parts
    /// that can't be read, in order: none where all of it can.
    ///
    /// A part is as small as what is damaged: a cluster where the image is, 4 KiB where the storage fails. What the file of
    /// the image, or of its data, doesn't reach reads as zeros, as always: see [`Info::missing`](crate::Info).
    ///
    /// # Errors
    ///
    /// What is no damage fails all of it: a range that leaves the disk, a codec or a passphrase that is missing.
    pub async fn read_salvage(
        &self,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<Vec<Unreadable<S::Error>>, Error<S::Error>> {
        check_bounds(offset, buf.len(), self.size())?;
        let cluster_size = self.top.tables.geometry().cluster_size();
        let mut unreadable: Vec<Unreadable<S::Error>> = Vec::new();
        // The parts that are still to be read, the next at the end.
        let mut parts: Vec<Range<u64>> = Vec::new();
        parts.push(offset..offset + buf.len() as u64);
        while let Some(part) = parts.pop() {
            let place = usize_of(part.start - offset)..usize_of(part.end - offset);
            let Some(into) = buf.get_mut(place) else { continue };
            let error = match self.read_at(part.start, into).await {
                Ok(()) => continue,
                Err(error) => error,
            };
            let smallest = match error.without_depth() {
                Error::Corrupt(_) => cluster_size,
                Error::Storage(_) => SMALLEST.min(cluster_size),
                _ => return Err(error),
            };
            if let Some(middle) = middle(&part, smallest) {
                parts.extend([middle..part.end, part.start..middle]);
                continue;
            }
            into.fill(0);
            let length = part.end - part.start;
            match unreadable.last_mut() {
                Some(last) if last.offset + last.length == part.start => last.length += length,
                _ => unreadable.push(Unreadable { offset: part.start, length, error }),
            }
        }
        Ok(unreadable)
    }
}

/// Where to divide a part so that each half is of whole units, but for its ends; `None` where it is within one unit.
fn middle(part: &Range<u64>, unit: u64) -> Option<u64> {
    let units = part.start / unit..part.end.div_ceil(unit);
    let middle = units.start + (units.end - units.start) / 2;
    (middle > units.start).then_some(middle * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_divided_down_to_a_unit() {
        assert_eq!(middle(&(0..8192), 4096), Some(4096));
        assert_eq!(middle(&(100..4196), 4096), Some(4096));
        assert_eq!(middle(&(0..4096), 4096), None);
        assert_eq!(middle(&(100..200), 4096), None);
        assert_eq!(middle(&(5000..20_000), 4096), Some(3 * 4096));
    }
}
