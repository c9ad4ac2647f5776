//! Clusters of the disk whose mapping is about to change, and who waits for whom.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use super::waiters::Waiters;

/// The ranges of guest clusters that allocating requests hold. Two ranges that are held never overlap.
///
/// Nobody waits for a range while holding another, so nobody waits for ever.
#[derive(Default)]
pub(crate) struct InFlight {
    held: RefCell<Vec<(u64, Range<u64>)>>,
    next_id: Cell<u64>,
    waiters: Waiters,
}

/// Holds a range of guest clusters until dropped: see [`cancellation`](super::cancellation).
pub(crate) struct HeldRange<'a> {
    owner: &'a InFlight,
    id: u64,
}

impl InFlight {
    /// Waits until nobody holds any of `clusters`, and takes them.
    pub(crate) async fn hold(&self, clusters: Range<u64>) -> HeldRange<'_> {
        self.waiters.until(|| self.try_hold(&clusters)).await
    }

    /// Takes `clusters`, unless somebody holds any of them.
    pub(crate) fn try_hold(&self, clusters: &Range<u64>) -> Option<HeldRange<'_>> {
        let mut held = self.held.borrow_mut();
        if held.iter().any(|(_, other)| other.start < clusters.end && clusters.start < other.end) {
            return None;
        }
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        held.push((id, clusters.clone()));
        Some(HeldRange { owner: self, id })
    }
}

impl Drop for HeldRange<'_> {
    fn drop(&mut self) {
        self.owner.held.borrow_mut().retain(|(id, _)| *id != self.id);
        self.owner.waiters.wake_all();
    }
}
