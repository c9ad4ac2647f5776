//! Clusters between their allocation and the link to them.

use core::ops::Range;

use super::writeback::Writeback;
use crate::format::units::HostOffset;

/// Clusters that are allocated and not linked yet. Dropped, they are given back: see
/// [`cancellation`](super::cancellation).
pub(crate) struct Reservation<'a> {
    writeback: &'a Writeback,
    /// Empty where the clusters are not counted: those of a data file.
    counted: Range<u64>,
    start: HostOffset,
}

impl<'a> Reservation<'a> {
    /// Clusters from `start` on, of which those in `counted` are to be given back.
    pub(crate) fn new(writeback: &'a Writeback, counted: Range<u64>, start: HostOffset) -> Self {
        Self { writeback, counted, start }
    }

    /// Where the first cluster begins.
    pub(crate) fn start(&self) -> HostOffset {
        self.start
    }

    /// They are linked now.
    pub(crate) fn keep(mut self) {
        self.counted = 0..0;
    }

    /// The first of those that are left is linked now.
    pub(crate) fn keep_first(&mut self) {
        self.counted.next();
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        // A write of a dropped request may still be under way: they are used again only after a flush.
        self.writeback.free(self.counted.clone());
    }
}
