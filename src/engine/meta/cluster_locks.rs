//! Locks on ranges of guest clusters whose mapping is about to change.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use super::waiters::Waiters;

/// The ranges of guest clusters that requests have locked. Two locked ranges never overlap.
///
/// No request waits for a range while it holds another, so a deadlock is impossible.
#[derive(Default)]
pub(crate) struct ClusterLocks {
    locked: RefCell<Vec<(u64, Range<u64>)>>,
    next_id: Cell<u64>,
    waiters: Waiters,
}

/// A lock on a range of guest clusters, released when dropped: see [`cancellation`](super::cancellation).
pub(crate) struct LockedRange<'a> {
    locks: &'a ClusterLocks,
    id: u64,
}

impl ClusterLocks {
    /// Waits until none of `clusters` is locked, and locks them.
    pub(crate) async fn lock(&self, clusters: Range<u64>) -> LockedRange<'_> {
        self.waiters.until(|| self.try_lock(&clusters)).await
    }

    /// Locks `clusters` without waiting. Returns `None` if any of them is locked.
    pub(crate) fn try_lock(&self, clusters: &Range<u64>) -> Option<LockedRange<'_>> {
        let mut locked = self.locked.borrow_mut();
        if locked.iter().any(|(_, other)| other.start < clusters.end && clusters.start < other.end) {
            return None;
        }
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        locked.push((id, clusters.clone()));
        Some(LockedRange { locks: self, id })
    }
}

impl Drop for LockedRange<'_> {
    fn drop(&mut self) {
        let mut locked = self.locks.locked.borrow_mut();
        if let Some(position) = locked.iter().position(|(id, _)| *id == self.id) {
            locked.swap_remove(position);
        }
        drop(locked);
        self.locks.waiters.wake_all();
    }
}
