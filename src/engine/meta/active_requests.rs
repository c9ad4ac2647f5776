//! The requests under way, which may still use clusters that were unlinked after they began.

use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};

/// The requests under way, by the generation in which they began.
///
/// Each unlink of a cluster begins a new generation. The cluster may be allocated again only when all requests of older
/// generations have ended, because such a request may have looked the cluster up before it was unlinked.
#[derive(Default)]
pub(crate) struct Requests {
    current: Cell<u64>,
    /// How many requests of the current generation are under way.
    of_current: Cell<usize>,
    /// The older generations that have requests under way, the oldest first.
    older: RefCell<VecDeque<(u64, usize)>>,
}

/// A request under way. It ends when this is dropped: see [`cancellation`](super::cancellation).
pub(crate) struct Request<'a> {
    requests: &'a Requests,
    generation: u64,
}

impl Requests {
    #[inline]
    pub(crate) fn begin(&self) -> Request<'_> {
        self.of_current.set(self.of_current.get() + 1);
        Request { requests: self, generation: self.current.get() }
    }

    /// Begins a new generation and returns the one that ended. Requests of that one and of older ones may use clusters
    /// that are unlinked now.
    pub(crate) fn end_generation(&self) -> u64 {
        let generation = self.current.get();
        let count = self.of_current.replace(0);
        if count > 0 {
            self.older.borrow_mut().push_back((generation, count));
        }
        self.current.set(generation + 1);
        generation
    }

    /// Returns whether all requests of `generation`, which has ended, and of older ones have ended.
    pub(crate) fn are_done_with(&self, generation: u64) -> bool {
        self.older.borrow().front().is_none_or(|(oldest, _)| *oldest > generation)
    }
}

impl Drop for Request<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.generation == self.requests.current.get() {
            self.requests.of_current.set(self.requests.of_current.get() - 1);
        } else {
            self.requests.end_older(self.generation);
        }
    }
}

impl Requests {
    /// Ends a request of an older generation.
    fn end_older(&self, generation: u64) {
        let mut older = self.older.borrow_mut();
        if let Some((_, count)) = older.iter_mut().find(|(other, _)| *other == generation) {
            *count -= 1;
        }
        while older.front().is_some_and(|(_, count)| *count == 0) {
            older.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_of_older_generations_delay_reuse() {
        let requests = Requests::default();
        let old = requests.begin();
        let unlinked = requests.end_generation();
        let new = requests.begin();
        assert!(!requests.are_done_with(unlinked));
        drop(old);
        assert!(requests.are_done_with(unlinked));
        let later = requests.end_generation();
        assert!(!requests.are_done_with(later), "the newer one is older by now");
        drop(new);
        assert!(requests.are_done_with(later));
        assert_eq!((requests.of_current.get(), requests.older.borrow().len()), (0, 0));
    }
}
