//! Clusters of the disk whose mapping is about to change, and who waits for whom.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use super::waiters::Waiters;

/// The ranges of guest clusters that allocating requests hold. Two ranges that are held never overlap.
///
/// Nobody waits for a range while holding another, so nobody waits for ever.
#[derive(Default)]
pub(crate) struct ClusterLocks {
    held: RefCell<Vec<(u64, Range<u64>)>>,
    next_id: Cell<u64>,
    waiters: Waiters,
}

/// Holds a range of guest clusters until dropped: see [`cancellation`](super::cancellation).
pub(crate) struct LockedRange<'a> {
    owner: &'a ClusterLocks,
    id: u64,
}

impl ClusterLocks {
    /// Waits until nobody holds any of `clusters`, and takes them.
    pub(crate) async fn lock(&self, clusters: Range<u64>) -> LockedRange<'_> {
        self.waiters.until(|| self.try_lock(&clusters)).await
    }

    /// Takes `clusters`, unless somebody holds any of them.
    pub(crate) fn try_lock(&self, clusters: &Range<u64>) -> Option<LockedRange<'_>> {
        let mut held = self.held.borrow_mut();
        if held.iter().any(|(_, other)| other.start < clusters.end && clusters.start < other.end) {
            return None;
        }
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        held.push((id, clusters.clone()));
        Some(LockedRange { owner: self, id })
    }
}

impl Drop for LockedRange<'_> {
    fn drop(&mut self) {
        self.owner.held.borrow_mut().retain(|(id, _)| *id != self.id);
        self.owner.waiters.wake_all();
    }
}
