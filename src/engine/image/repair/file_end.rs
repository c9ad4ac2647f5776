//! Allocating clusters after the end of a file.

use alloc::collections::BTreeSet;
use core::ops::Range;

/// How many clusters after the end are checked for references: more than a repair ever writes there.
const MAX_TRACKED: u64 = 1 << 20;

/// Allocates clusters after the end of a file, except those that have references already: they read as zeros, and must
/// continue to do so while there is a reference.
#[derive(Debug)]
pub(in crate::image) struct EndAllocator {
    end: u64,
    next: u64,
    referred: BTreeSet<u64>,
}

impl EndAllocator {
    /// Allocates after a file of `clusters` clusters. References may reach into the cluster after the last one, so it
    /// is skipped.
    pub(in crate::image) fn new(clusters: u64) -> Self {
        Self { end: clusters + 1, next: clusters + 1, referred: BTreeSet::new() }
    }

    /// Records a reference to `clusters`, which must not be allocated.
    pub(super) fn avoid(&mut self, clusters: Range<u64>) {
        self.referred.extend(clusters.start.max(self.end)..clusters.end.min(self.end + MAX_TRACKED));
    }

    /// Returns where the next `count` clusters would be allocated.
    pub(super) fn room_for(&self, count: u64) -> Range<u64> {
        let mut first = self.next;
        while let Some(referred) = self.referred.range(first..first + count).next_back() {
            first = referred + 1;
        }
        first..first + count
    }

    pub(super) fn allocate(&mut self, count: u64) -> Range<u64> {
        let room = self.room_for(count);
        self.next = room.end;
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_with_references_are_skipped() {
        let mut allocator = EndAllocator::new(9);
        allocator.avoid(5..7);
        allocator.avoid(12..13);
        assert_eq!(allocator.allocate(2), 10..12);
        assert_eq!(allocator.room_for(3), 13..16);
        assert_eq!(allocator.allocate(1), 13..14);
    }
}
