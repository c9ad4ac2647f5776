//! The cache that parsers read through.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;

use super::device::{Device, ReadFailed};
use super::trace::{Extent, Trace};
use crate::error::{Code, Error, Result};

/// The block size of the cache in bytes.
pub const BLOCK: u64 = 64 << 10;
/// The most blocks that are kept, besides those that the running call uses.
const KEPT: usize = 512;
/// The most blocks that consecutive reads read ahead, which is one part of a stream.
const MOST_AHEAD: u64 = 64;
/// The blocks of a region.
const REGION: u64 = 64;
/// The most blocks that one call may use. A call that needs more fails instead of filling the memory.
const MOST: usize = 4096;

/// Reads the disk at an offset into the buffer. Returns false if the disk cannot do so synchronously.
pub type ReadSync = Box<dyn Fn(u64, &mut [u8]) -> bool>;

/// A cache of the disk's blocks. It never waits: a read of a block that is not cached fails and records what is missing.
///
/// [`Cache::call`] runs an operation and reports what was missing, so that the caller can [`provide`](Cache::provide) it and
/// run the operation again. A disk that can be read synchronously needs no second run.
pub struct Cache {
    size: u64,
    read_sync: Option<ReadSync>,
    state: RefCell<State>,
    statistics: Cell<Statistics>,
}

/// The counters of the cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    /// The number of operations.
    pub calls: u64,
    /// How often an operation ran again because bytes were missing.
    pub reruns: u64,
    /// The number of ranges of the disk that were provided.
    pub requests: u64,
    /// The number of bytes that were provided.
    pub bytes: u64,
}

#[derive(Default)]
struct State {
    blocks: HashMap<u64, Block>,
    /// A clock that advances with every use, to order the blocks by their last use.
    clock: u64,
    /// The clock at the start of the running call. Blocks used since then stay.
    began: u64,
    missing: Option<Range<u64>>,
    /// Whether the call needs more than the cache may hold.
    full: bool,
    /// Whether the disk failed to read.
    failed: bool,
    /// The buffer that is traced.
    trace: Option<Trace>,
    /// The end and the block count of the range that was provided last. A miss there reads ahead.
    last: Option<(u64, u64)>,
    /// How often each region was missed.
    misses: HashMap<u64, u32>,
}

struct Block {
    bytes: Box<[u8]>,
    used: u64,
}

impl Cache {
    /// Creates a cache over a disk of `size` bytes.
    pub fn new(size: u64, read_sync: Option<ReadSync>) -> Self {
        Self { size, read_sync, state: RefCell::default(), statistics: Cell::default() }
    }

    /// Runs `operation`. If bytes of the disk were missing, its result is dropped and [`Error::Need`] names the bytes.
    pub fn call<T>(&self, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        {
            let mut state = self.state.borrow_mut();
            state.began = state.clock;
            state.missing = None;
            state.full = false;
            state.failed = false;
            state.trace = None;
        }
        let result = operation();
        let mut state = self.state.borrow_mut();
        let mut statistics = self.statistics.get();
        statistics.calls += 1;
        if state.full {
            state.drop_old(0);
            self.statistics.set(statistics);
            let message =
                "the file system needs more of the disk at once than the memory limit allows; it is likely damaged";
            return Err(Code::Limit.error(message));
        }
        if state.failed {
            self.statistics.set(statistics);
            return Err(Code::Damaged.error("the disk could not be read"));
        }
        let Some(missing) = state.missing.take() else {
            self.statistics.set(statistics);
            return result;
        };
        statistics.calls -= 1;
        statistics.reruns += 1;
        self.statistics.set(statistics);
        Err(Error::Need(state.ahead(missing, self.size)))
    }

    /// Runs `read`, which reads from a file into a buffer of `length` bytes and returns how many it read. Returns where those
    /// bytes are. `None` if `read` fails, or if it does not leave the bytes of the disk as they are.
    pub fn trace(&self, length: usize, read: impl FnOnce(&mut [u8]) -> Result<usize>) -> Option<Vec<Extent>> {
        let (mut bytes, trace) = Trace::of_buffer(length);
        self.state.borrow_mut().trace = Some(trace);
        let count = read(&mut bytes);
        let trace = self.state.borrow_mut().trace.take()?;
        trace.extents(&bytes, count.ok()?)
    }

    /// Receives bytes of the disk. `offset` is the start of a needed range. The bytes are whole blocks, except at the
    /// disk's end.
    pub fn provide(&self, offset: u64, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        let mut statistics = self.statistics.get();
        statistics.requests += 1;
        statistics.bytes += bytes.len() as u64;
        self.statistics.set(statistics);
        state.last = Some((offset + bytes.len() as u64, (bytes.len() as u64).div_ceil(BLOCK)));
        #[expect(clippy::cast_possible_truncation, reason = "a block's length fits")]
        for (number, chunk) in (offset / BLOCK..).zip(bytes.chunks(BLOCK as usize)) {
            let used = state.tick();
            state.blocks.insert(number, Block { bytes: chunk.into(), used });
        }
        state.drop_old(KEPT);
    }

    /// Drops the blocks of a range, because the disk has changed there.
    pub fn forget(&self, offset: u64, length: u64) {
        let numbers = offset / BLOCK..offset.saturating_add(length).div_ceil(BLOCK);
        self.state.borrow_mut().blocks.retain(|number, _| !numbers.contains(number));
    }

    /// Drops all blocks, because the disk may have changed.
    pub fn clear(&self) {
        self.state.borrow_mut().blocks.clear();
    }

    /// Returns the counters.
    pub fn statistics(&self) -> Statistics {
        self.statistics.get()
    }

    /// Reads the missing blocks of `range` synchronously, if the disk can.
    fn load(&self, state: &mut State, range: &Range<u64>) -> bool {
        let Some(read) = &self.read_sync else { return false };
        let wanted = state.ahead(range.clone(), self.size);
        #[expect(clippy::cast_possible_truncation, reason = "at most the bytes of one read and of what is read ahead")]
        let mut bytes = vec![0; (wanted.end - wanted.start) as usize];
        if !read(wanted.start, &mut bytes) {
            state.failed = true;
            return false;
        }
        let mut statistics = self.statistics.get();
        statistics.requests += 1;
        statistics.bytes += bytes.len() as u64;
        self.statistics.set(statistics);
        state.last = Some((wanted.end, (wanted.end - wanted.start).div_ceil(BLOCK)));
        #[expect(clippy::cast_possible_truncation, reason = "a block's length fits")]
        for (number, chunk) in (wanted.start / BLOCK..).zip(bytes.chunks(BLOCK as usize)) {
            let used = state.tick();
            state.blocks.insert(number, Block { bytes: chunk.into(), used });
        }
        state.drop_old(KEPT);
        true
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Drops the least recently used blocks until `kept` are left, but none that the running call has used.
    fn drop_old(&mut self, kept: usize) {
        if self.blocks.len() <= kept {
            return;
        }
        let mut uses: Vec<u64> = self.blocks.values().map(|block| block.used).collect();
        uses.sort_unstable();
        // Drop one eighth more than needed, so that the next calls need not sort.
        let spared = kept - kept / 8;
        let limit = uses.get(uses.len() - spared).copied().unwrap_or(u64::MAX).min(self.began + 1);
        self.blocks.retain(|_, block| block.used >= limit);
    }

    /// Returns the range to read for `missing`: whole blocks, and more with each miss that continues where the last
    /// range ended, or that hits a region again. So a region of metadata that is read in any order costs few requests.
    fn ahead(&mut self, missing: Range<u64>, size: u64) -> Range<u64> {
        let mut first = missing.start / BLOCK;
        let mut end = missing.end.div_ceil(BLOCK);
        let after = match self.last {
            Some((last, blocks)) if last == first * BLOCK => first + (blocks * 2).min(MOST_AHEAD),
            _ => end,
        };
        if self.misses.len() > MOST {
            self.misses.clear();
        }
        let misses = self.misses.entry(first / REGION).or_default();
        let around = (1 << *misses).min(REGION);
        *misses = (*misses + 1).min(16);
        let start = first / around * around;
        while end < after.max(start + around) && !self.blocks.contains_key(&end) {
            end += 1;
        }
        while first > start && !self.blocks.contains_key(&(first - 1)) {
            first -= 1;
        }
        first * BLOCK..(end * BLOCK).min(size)
    }
}

impl Device for Cache {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::result::Result<(), ReadFailed> {
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.size).ok_or(ReadFailed)?;
        if into.is_empty() {
            return Ok(());
        }
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.trace.as_mut().is_some_and(|trace| trace.record(offset, into)) {
            return Ok(());
        }
        let numbers = offset / BLOCK..end.div_ceil(BLOCK);
        let absent = |state: &State| {
            let mut absent = numbers.clone().filter(|number| !state.blocks.contains_key(number));
            let first = absent.next()?;
            let last = absent.next_back().unwrap_or(first);
            Some(first * BLOCK..((last + 1) * BLOCK).min(self.size))
        };
        if let Some(range) = absent(state)
            && !self.load(state, &range)
        {
            // Only the first miss counts: after a failed read, a parser may read anything.
            state.missing.get_or_insert(range);
            return Err(ReadFailed);
        }
        let used = state.tick();
        let mut left = into;
        let mut at = offset;
        for number in numbers {
            let block = state.blocks.get_mut(&number).ok_or(ReadFailed)?;
            block.used = used;
            #[expect(clippy::cast_possible_truncation, reason = "less than a block")]
            let from = (at - number * BLOCK) as usize;
            let count = left.len().min(block.bytes.len().saturating_sub(from));
            let (now, rest) = left.split_at_mut(count);
            now.copy_from_slice(block.bytes.get(from..from + count).ok_or(ReadFailed)?);
            left = rest;
            at += count as u64;
        }
        if state.blocks.len() > MOST {
            state.full = true;
            return Err(ReadFailed);
        }
        if left.is_empty() { Ok(()) } else { Err(ReadFailed) }
    }
}
