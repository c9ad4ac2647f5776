//! Finds where the contents of a file are on the disk.
//!
//! A parser reads the contents of a file into a buffer. While that buffer is traced, the cache records such a read instead
//! of carrying it out, so the contents need not pass through the parser. The parser fills the rest of the buffer itself:
//! with zeros for holes, or with bytes that it decompressed, decrypted or found among metadata.
//!
//! A recorded range has marks. If one is missing, the parser changed what it read, and the trace is worthless.

use std::ops::Range;

/// The byte that marks a range as not read.
const MARK: u8 = 0xA5;
/// A range has a mark at its start, at its end, and at multiples of this in between: parsers change what they read as a
/// whole, or fill its end with zeros.
const MARKED: usize = 128;
/// Shorter reads are carried out. Parsers read at least a sector of contents at a time, except at the edges of a range.
const SHORTEST: usize = 512;
/// Bytes that no read was recorded for are holes or contents in units of so many bytes.
const UNIT: usize = 4096;

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The length in bytes.
    pub length: usize,
    /// Its contents.
    pub content: Content,
}

/// Appends an extent, or lengthens the last one if it continues it.
pub(crate) fn add(extents: &mut Vec<Extent>, extent: Extent) {
    if let Some(last) = extents.last_mut() {
        let continues = match (&last.content, &extent.content) {
            (Content::Disk(offset), Content::Disk(next)) => offset.checked_add(last.length as u64) == Some(*next),
            (Content::Zeros, Content::Zeros) => true,
            _ => false,
        };
        if continues {
            last.length += extent.length;
            return;
        }
    }
    extents.push(extent);
}

/// The contents of a part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The bytes of the disk from this offset on.
    Disk(u64),
    /// Zeros, as in a hole.
    Zeros,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// The reads into a buffer.
pub(super) struct Trace {
    /// The addresses of the buffer.
    buffer: Range<usize>,
    reads: Vec<Read>,
}

struct Read {
    range: Range<usize>,
    offset: u64,
}

impl Trace {
    /// A buffer of `length` bytes, and the trace of it.
    pub(super) fn of_buffer(length: usize) -> (Vec<u8>, Self) {
        let buffer = vec![0; length];
        let start = buffer.as_ptr().addr();
        (buffer, Self { buffer: start..start + length, reads: Vec::new() })
    }

    /// Records a read of the disk at `offset`. Returns false if it is not one of contents into the buffer.
    pub(super) fn record(&mut self, offset: u64, into: &mut [u8]) -> bool {
        let start = into.as_ptr().addr();
        let is_within = self.buffer.contains(&start) && into.len() <= self.buffer.end - start;
        if !is_within || into.len() < SHORTEST {
            return false;
        }
        let start = start - self.buffer.start;
        for at in marks(&(start..start + into.len())) {
            into[at - start] = MARK;
        }
        match self.reads.last_mut() {
            Some(last)
                if last.range.end == start && last.offset.checked_add(last.range.len() as u64) == Some(offset) =>
            {
                last.range.end += into.len();
            }
            _ => self.reads.push(Read { range: start..start + into.len(), offset }),
        }
        true
    }

    /// Returns what the first `count` bytes of the buffer are made of; `None` if that is not known.
    pub(super) fn extents(mut self, buffer: &[u8], count: usize) -> Option<Vec<Extent>> {
        self.reads.sort_unstable_by_key(|read| read.range.start);
        let bytes = buffer.get(..count)?;
        let mut extents = Vec::new();
        let mut at = 0;
        for Read { range, offset } in self.reads {
            let end = range.end.min(count);
            if range.start >= end {
                break;
            }
            let filled = bytes.get(at..range.start)?;
            if !marks(&range).all(|at| buffer.get(at) == Some(&MARK)) {
                return None;
            }
            add_filled(&mut extents, filled);
            extents.push(Extent { length: end - range.start, content: Content::Disk(offset) });
            at = end;
        }
        add_filled(&mut extents, bytes.get(at..)?);
        Some(extents)
    }
}

/// The places of the marks in a range of the buffer, which is not empty.
fn marks(range: &Range<usize>) -> impl Iterator<Item = usize> {
    let between = (range.start.next_multiple_of(MARKED)..range.end).step_by(MARKED);
    [range.start, range.end - 1].into_iter().chain(between)
}

/// Adds the extents of bytes that the parser filled in.
fn add_filled(extents: &mut Vec<Extent>, bytes: &[u8]) {
    let mut from = 0;
    while from < bytes.len() {
        let units = || bytes[from..].chunks(UNIT);
        let is_hole = units().next().is_some_and(is_zero);
        let length = units().take_while(|unit| is_zero(unit) == is_hole).map(<[u8]>::len).sum::<usize>();
        let content = if is_hole { Content::Zeros } else { Content::Bytes(bytes[from..from + length].to_vec()) };
        extents.push(Extent { length, content });
        from += length;
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| *word == [0; 8]) && rest.iter().all(|each| *each == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: u64 = 1 << 20;

    fn traced(length: usize, parse: impl FnOnce(&mut [u8], &mut Trace)) -> Option<Vec<Extent>> {
        let (mut bytes, mut trace) = Trace::of_buffer(length);
        parse(&mut bytes, &mut trace);
        trace.extents(&bytes, length)
    }

    #[test]
    fn reads_into_the_buffer_are_extents_of_the_disk_and_adjacent_ones_are_one() {
        let extents = traced(3 * UNIT, |bytes, trace| {
            assert!(trace.record(DISK, &mut bytes[..UNIT]));
            assert!(trace.record(DISK + UNIT as u64, &mut bytes[UNIT..2 * UNIT]));
            assert!(trace.record(0, &mut bytes[2 * UNIT..]));
        });
        let disk = |length, offset| Extent { length, content: Content::Disk(offset) };
        assert_eq!(extents, Some(vec![disk(2 * UNIT, DISK), disk(UNIT, 0)]));
    }

    #[test]
    fn what_the_parser_fills_in_is_zeros_or_bytes() {
        let extents = traced(3 * UNIT + 100, |bytes, trace| {
            bytes[UNIT..2 * UNIT].fill(7);
            assert!(trace.record(DISK, &mut bytes[2 * UNIT..3 * UNIT]));
            // A short read, and one into another buffer, are carried out.
            assert!(!trace.record(DISK, &mut bytes[3 * UNIT..]));
            assert!(!trace.record(DISK, &mut vec![0; UNIT]));
            bytes[3 * UNIT..].fill(9);
        });
        let expected =
            [Content::Zeros, Content::Bytes(vec![7; UNIT]), Content::Disk(DISK), Content::Bytes(vec![9; 100])];
        assert_eq!(extents.into_iter().flatten().map(|extent| extent.content).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_trace_is_worthless_if_the_parser_changes_what_it_read() {
        for changed in [0..1, 1000..UNIT, UNIT - 1..UNIT, 640..768] {
            let extents = traced(UNIT, |bytes, trace| {
                assert!(trace.record(DISK, bytes));
                bytes[changed.clone()].fill(0);
            });
            assert_eq!(extents, None, "{changed:?}");
        }
        let overlapping = traced(2 * UNIT, |bytes, trace| {
            assert!(trace.record(DISK, &mut bytes[..UNIT + 512]));
            assert!(trace.record(0, &mut bytes[UNIT..]));
        });
        assert_eq!(overlapping, None);
    }
}
