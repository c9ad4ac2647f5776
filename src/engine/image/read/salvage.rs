//! Reading the intact parts of a corrupt disk.

use crate::format::units::usize_of;
use alloc::vec::Vec;
use core::ops::Range;

use super::check_bounds;
use crate::error::Error;
use crate::image::Image;
use crate::storage::Storage;

/// The smallest unit that a failing storage loses; a corrupt table or compressed cluster loses at least a cluster.
const SMALLEST: u64 = 4096;

/// A part of a disk that cannot be read.
#[derive(Debug)]
pub struct Unreadable<E> {
    /// The guest offset of the part in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The error of its first unit.
    pub error: Error<E>,
}

impl<S: Storage> Image<S> {
    /// Reads the bytes at `offset` of the disk into `buf`, with zeros for the parts that cannot be read.
    ///
    /// Returns the parts that cannot be read, in order; none if everything was read.
    ///
    /// A part is as small as the damage: a cluster if the image is corrupt, 4 KiB if the storage fails. Clusters past
    /// the end of the image file or data file read as zeros, as always: see [`Info::missing`](crate::Info).
    ///
    /// # Errors
    ///
    /// Errors that are not damage fail the whole read: a range past the end of the disk, a missing codec or passphrase.
    pub async fn read_salvage(
        &self,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<Vec<Unreadable<S::Error>>, Error<S::Error>> {
        check_bounds(offset, buf.len(), self.size())?;
        let cluster_size = self.top.tables.geometry().cluster_size();
        let mut unreadable: Vec<Unreadable<S::Error>> = Vec::new();
        // A stack of the parts to read, the next at the end.
        let mut parts: Vec<Range<u64>> = Vec::new();
        parts.push(offset..offset + buf.len() as u64);
        while let Some(part) = parts.pop() {
            let range = usize_of(part.start - offset)..usize_of(part.end - offset);
            let Some(into) = buf.get_mut(range) else { continue };
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

/// Returns where to divide a part so that both halves consist of whole units, except at its ends. Returns `None` if the
/// part is within one unit.
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
