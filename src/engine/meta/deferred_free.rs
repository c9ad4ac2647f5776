//! Clusters that were freed, until their refcounts are decremented.

use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use super::active_requests::Requests;

/// References to drop, in the order in which the clusters were unlinked.
#[derive(Default)]
pub(crate) struct FreedClusters {
    list: RefCell<VecDeque<Freed>>,
    /// How many clusters were added since the last flush began.
    since_flush: Cell<u64>,
}

/// One reference to each of consecutive clusters.
struct Freed {
    clusters: Range<u64>,
    /// The last generation of requests that may still use them.
    generation: u64,
    /// A flush that makes the unlink durable is under way or has completed.
    sealed: bool,
    /// The unlink is durable.
    durable: bool,
}

impl FreedClusters {
    /// Adds clusters, at least one, to which nothing in memory points any more.
    pub(crate) fn add(&self, requests: &Requests, clusters: Range<u64>) {
        self.since_flush.set(self.since_flush.get() + (clusters.end - clusters.start));
        let generation = requests.end_generation();
        let mut list = self.list.borrow_mut();
        match list.back_mut() {
            // A request that began in between may use the earlier clusters. None of them is reused before it ends.
            Some(newest) if newest.clusters.end == clusters.start && !newest.sealed => {
                newest.clusters.end = clusters.end;
                newest.generation = generation;
            }
            _ => list.push_back(Freed { clusters, generation, sealed: false, durable: false }),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// How many clusters were added since the last flush began.
    pub(crate) fn since_flush(&self) -> u64 {
        self.since_flush.get()
    }

    /// Begins a flush and returns how many entries of the list it covers. It does not cover entries that are added later.
    pub(crate) fn seal(&self) -> usize {
        self.since_flush.set(0);
        let mut list = self.list.borrow_mut();
        if let Some(last) = list.back_mut() {
            last.sealed = true;
        }
        list.len()
    }

    /// Records that the unlinks of the first `count` entries are durable.
    pub(crate) fn set_durable(&self, count: usize) {
        self.list.borrow_mut().iter_mut().take(count).for_each(|freed| freed.durable = true);
    }

    /// Returns the first cluster, if its refcount can be decremented.
    ///
    /// The entries are in the order of the generations, and durable entries precede the others. If the first one is not
    /// ready, none is.
    pub(crate) fn ready(&self, requests: &Requests) -> Option<u64> {
        let list = self.list.borrow();
        let ready = |first: &&Freed| first.durable && requests.are_done_with(first.generation);
        list.front().filter(ready).map(|freed| freed.clusters.start)
    }

    /// Removes the first cluster, after its refcount was decremented.
    pub(crate) fn remove_first(&self) {
        let mut list = self.list.borrow_mut();
        if let Some(first) = list.front_mut() {
            first.clusters.start += 1;
            if first.clusters.is_empty() {
                list.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_ready(freed: &FreedClusters, requests: &Requests) -> alloc::vec::Vec<u64> {
        core::iter::from_fn(|| freed.ready(requests).inspect(|_| freed.remove_first())).collect()
    }

    #[test]
    fn consecutive_clusters_take_one_entry() {
        let (freed, requests) = (FreedClusters::default(), Requests::default());
        for cluster in 0..1000 {
            freed.add(&requests, cluster..cluster + 1);
        }
        assert_eq!((freed.list.borrow().len(), freed.since_flush()), (1, 1000));
    }

    #[test]
    fn a_flush_covers_only_clusters_freed_before_it_began() {
        let (freed, requests) = (FreedClusters::default(), Requests::default());
        freed.add(&requests, 5..7);
        let covered = freed.seal();
        freed.add(&requests, 7..8);
        assert!(all_ready(&freed, &requests).is_empty());
        freed.set_durable(covered);
        assert_eq!(all_ready(&freed, &requests), [5, 6]);
        assert_eq!(freed.since_flush(), 1);
    }

    #[test]
    fn a_request_that_may_use_a_cluster_delays_its_reuse() {
        let (freed, requests) = (FreedClusters::default(), Requests::default());
        freed.add(&requests, 1..2);
        let request = requests.begin();
        freed.add(&requests, 2..3);
        freed.set_durable(freed.seal());
        assert!(all_ready(&freed, &requests).is_empty());
        drop(request);
        assert_eq!(all_ready(&freed, &requests), [1, 2]);
    }
}
