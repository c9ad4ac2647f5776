//! References that are given up, until they can be counted down.

use alloc::collections::VecDeque;
use core::cell::RefCell;

use super::active_requests::Requests;

/// Clusters to count down, in the order in which they were unlinked.
#[derive(Default)]
pub(crate) struct FreedClusters {
    list: RefCell<VecDeque<Freed>>,
}

/// A reference that is given up.
struct Freed {
    cluster: u64,
    /// The last generation of requests that may still use it.
    generation: u64,
    /// That nothing points to it any more is durable.
    durable: bool,
}

impl FreedClusters {
    /// Adds clusters to which nothing in memory points any more.
    pub(crate) fn add(&self, requests: &Requests, clusters: impl IntoIterator<Item = u64>) {
        let mut list = self.list.borrow_mut();
        let before = list.len();
        list.extend(clusters.into_iter().map(|cluster| Freed { cluster, generation: 0, durable: false }));
        if list.len() > before {
            let generation = requests.end_generation();
            list.range_mut(before..).for_each(|freed| freed.generation = generation);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.borrow().len()
    }

    /// That nothing points to the first `count` of them is durable now.
    pub(crate) fn are_durable(&self, count: usize) {
        self.list.borrow_mut().iter_mut().take(count).for_each(|freed| freed.durable = true);
    }

    /// The first, if it can be counted down. They are in the order of the generations, and durable ones are before the
    /// others: where the first can't be, none can.
    pub(crate) fn ready(&self, requests: &Requests) -> Option<u64> {
        let list = self.list.borrow();
        let ready = |first: &&Freed| first.durable && requests.are_done_with(first.generation);
        list.front().filter(ready).map(|freed| freed.cluster)
    }

    /// The first is counted down.
    pub(crate) fn remove_first(&self) {
        self.list.borrow_mut().pop_front();
    }
}
