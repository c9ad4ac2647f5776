//! A pool of buffers, so that requests allocate no memory once the engine is warm.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

/// The largest number of unused buffers that the pool keeps.
const POOLED: usize = 4;

/// A pool of a few unused buffers with a limit on their total size.
pub(crate) struct Buffers {
    budget: usize,
    /// The most recently used buffer is the last.
    unused: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Creates a pool that keeps at most `budget` bytes in total.
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, unused: RefCell::default() }
    }

    /// Returns a buffer of `length` bytes of unspecified contents. Its capacity is at most twice that.
    pub(crate) fn take(&self, length: usize) -> Vec<u8> {
        let mut unused = self.unused.borrow_mut();
        let fits = |buffer: &Vec<u8>| (length..=length.saturating_mul(2)).contains(&buffer.capacity());
        match unused.iter().rposition(fits) {
            Some(position) => {
                let mut buffer = unused.remove(position);
                buffer.resize(length, 0);
                buffer
            }
            None => vec![0; length],
        }
    }

    /// Keeps `buffer` for a later request. The least recently used buffers are freed to make room.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        if buffer.capacity() > self.budget {
            return;
        }
        let mut unused = self.unused.borrow_mut();
        unused.push(buffer);
        while unused.len() > POOLED || unused.iter().map(Vec::capacity).sum::<usize>() > self.budget {
            unused.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_buffers_stay_within_the_budget() {
        let buffers = Buffers::new(1000);
        for capacity in [600, 1001, 300, 100, 10, 10, 10, 10, 1000] {
            buffers.put(Vec::with_capacity(capacity));
            let unused = buffers.unused.borrow();
            assert!(unused.len() <= POOLED && unused.iter().map(Vec::capacity).sum::<usize>() <= 1000);
        }
        assert_eq!(buffers.unused.borrow().len(), 1, "the others made room for the last one");
    }

    #[test]
    fn a_large_buffer_is_not_used_for_a_small_request() {
        let buffers = Buffers::new(10_000);
        buffers.put(Vec::with_capacity(4000));
        assert!(buffers.take(1999).capacity() < 4000);
        assert_eq!(buffers.take(2000).capacity(), 4000);
    }
}
