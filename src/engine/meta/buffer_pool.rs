//! Buffers to use again, so that a request allocates nothing once the engine is warm.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

/// How many buffers are kept for the next requests.
const POOLED: usize = 4;

/// A few buffers that no request uses, bounded in what they take together.
pub(crate) struct Buffers {
    budget: usize,
    /// The one that was used last at the end.
    unused: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Keeps buffers of at most `budget` bytes together.
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

    /// Keeps `buffer` for a later request, in place of those that were used least recently.
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
    fn what_is_kept_stays_within_the_budget() {
        let buffers = Buffers::new(1000);
        for capacity in [600, 1001, 300, 100, 10, 10, 10, 10, 1000] {
            buffers.put(Vec::with_capacity(capacity));
            let unused = buffers.unused.borrow();
            assert!(unused.len() <= POOLED && unused.iter().map(Vec::capacity).sum::<usize>() <= 1000);
        }
        assert_eq!(buffers.unused.borrow().len(), 1, "the others made room for the last one");
    }

    #[test]
    fn a_small_buffer_is_no_large_one_cut_short() {
        let buffers = Buffers::new(10_000);
        buffers.put(Vec::with_capacity(4000));
        assert!(buffers.take(1999).capacity() < 4000);
        assert_eq!(buffers.take(2000).capacity(), 4000);
    }
}
