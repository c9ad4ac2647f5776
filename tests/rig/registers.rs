//! What a disk may read as while many requests are under way.
//!
//! Every byte is a register. A read may find what any write put there that began before the read ended, unless another
//! write came wholly between the two: it began after the first one's end, and ended before the read began. The same
//! goes for a crash, with the last flush in the place of the read.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::common::index;

pub struct Registers {
    before: Vec<u8>,
    puts: Vec<Put>,
    flushed: u64,
}

struct Put {
    range: Range<u64>,
    data: Vec<u8>,
    begin: u64,
    /// `None` while it is under way.
    end: Option<u64>,
    /// It may leave what was there before.
    maybe: bool,
}

/// What began, to be told when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutId(usize);

impl Registers {
    pub fn new(contents: Vec<u8>) -> Self {
        Self { before: contents, puts: Vec::new(), flushed: 0 }
    }

    /// `data` is to be put at `offset`; `maybe`, as a discard does.
    pub fn begin(&mut self, time: u64, offset: u64, data: Vec<u8>, maybe: bool) -> PutId {
        let range = offset..offset + data.len() as u64;
        self.puts.push(Put { range, data, begin: time, end: None, maybe });
        PutId(self.puts.len() - 1)
    }

    pub fn end(&mut self, time: u64, id: PutId) {
        self.puts[id.0].end = Some(time);
    }

    /// It was dropped, or has failed: it may have done its work, in full or in part.
    pub fn give_up(&mut self, time: u64, id: PutId) {
        self.puts[id.0].maybe = true;
        self.end(time, id);
    }

    /// A flush that began at that time has ended.
    pub fn flushed(&mut self, begin: u64) {
        self.flushed = self.flushed.max(begin);
    }

    /// Nothing is under way, everything is durable, and this is what the disk holds.
    pub fn settle(&mut self, contents: Vec<u8>) {
        *self = Self::new(contents);
    }

    /// The first byte of a disk found after a crash that can't be.
    pub fn fault_after_crash(&self, contents: &[u8]) -> Option<u64> {
        self.first_fault(0, contents, self.flushed)
    }

    /// The first byte that can't be, of those read at `offset` by a read that began at `begin` and has just ended.
    pub fn first_fault(&self, offset: u64, bytes: &[u8], begin: u64) -> Option<u64> {
        let end = offset + bytes.len() as u64;
        let mut bounds = BTreeSet::from([offset, end]);
        for put in &self.puts {
            bounds.extend([put.range.start, put.range.end].into_iter().filter(|at| (offset..end).contains(at)));
        }
        let bounds: Vec<_> = bounds.into_iter().collect();
        let ranges = bounds.windows(2).map(|pair| pair[0]..pair[1]);
        let mut faults = ranges.filter_map(|range| {
            let found = &bytes[index(range.start - offset)..index(range.end - offset)];
            self.fault_in(range, found, begin)
        });
        faults.next()
    }

    /// Who might have put what is at that place of the disk.
    pub fn describe(&self, at: u64) -> String {
        let covering = self.puts.iter().filter(|put| put.range.contains(&at));
        let puts: Vec<_> = covering
            .map(|put| {
                let Put { range, begin, end, maybe, .. } = put;
                format!(
                    "{:#x} of {range:#x?} from {begin} to {end:?}, maybe {maybe}",
                    put.data[index(at - range.start)]
                )
            })
            .collect();
        format!("byte {at:#x} was {:#x}, flushed at {}; {puts:#?}", self.before[index(at)], self.flushed)
    }

    /// As [`Registers::first_fault`], for bytes that every put covers or leaves alone as a whole.
    fn fault_in(&self, range: Range<u64>, found: &[u8], begin: u64) -> Option<u64> {
        let covering = || self.puts.iter().filter(|put| put.range.start <= range.start && range.end <= put.range.end);
        let overwritten = |end: Option<u64>| {
            let is_between = |put: &Put| {
                !put.maybe && put.end.is_some_and(|last| last < begin) && end.is_some_and(|end| put.begin > end)
            };
            covering().any(is_between)
        };
        let mut candidates: Vec<&[u8]> = covering()
            .filter(|put| !overwritten(put.end))
            .map(|put| &put.data[index(range.start - put.range.start)..index(range.end - put.range.start)])
            .collect();
        // What was there at first, as a put at time 0.
        if !covering().any(|put| !put.maybe && put.end.is_some_and(|end| end < begin)) {
            candidates.push(&self.before[index(range.start)..index(range.end)]);
        }
        if candidates.contains(&found) {
            return None;
        }
        let is_fault = |at: &usize| !candidates.iter().any(|candidate| candidate[*at] == found[*at]);
        (0..found.len()).find(is_fault).map(|at| range.start + at as u64)
    }
}
