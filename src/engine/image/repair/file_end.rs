//! The room behind the end of a file.

use alloc::collections::BTreeSet;
use core::ops::Range;

/// How far behind the end references are heeded, in clusters: further than anything that is written there.
const HEEDED: u64 = 1 << 20;

/// Hands out clusters behind everything that a file holds, but for those that something refers to already: what lies past
/// the end reads as zeros, and must go on to do so as long as there is such a reference.
#[derive(Debug)]
pub(in crate::image) struct Behind {
    end: u64,
    next: u64,
    referred: BTreeSet<u64>,
}

impl Behind {
    /// For a file of `clusters` clusters. Something may reach into the one behind the last.
    pub(in crate::image) fn of(clusters: u64) -> Self {
        Self { end: clusters + 1, next: clusters + 1, referred: BTreeSet::new() }
    }

    /// Takes note of a reference.
    pub(super) fn avoid(&mut self, clusters: Range<u64>) {
        self.referred.extend(clusters.start.max(self.end)..clusters.end.min(self.end + HEEDED));
    }

    /// Where `count` clusters would be, if they were taken now.
    pub(super) fn room_for(&self, count: u64) -> Range<u64> {
        let mut first = self.next;
        while let Some(referred) = self.referred.range(first..first + count).next_back() {
            first = referred + 1;
        }
        first..first + count
    }

    pub(super) fn take(&mut self, count: u64) -> Range<u64> {
        let room = self.room_for(count);
        self.next = room.end;
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_referred_to_is_left_out() {
        let mut behind = Behind::of(9);
        behind.avoid(5..7);
        behind.avoid(12..13);
        assert_eq!(behind.take(2), 10..12);
        assert_eq!(behind.room_for(3), 13..16);
        assert_eq!(behind.take(1), 13..14);
    }
}
