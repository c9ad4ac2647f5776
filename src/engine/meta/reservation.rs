//! Clusters that are allocated and not linked yet.

use core::ops::Range;

use super::writeback::Writeback;
use crate::format::units::HostOffset;

/// Clusters that are allocated and not linked yet. They are freed when this is dropped: see
/// [`cancellation`](super::cancellation).
pub(crate) struct Reservation<'a> {
    writeback: &'a Writeback,
    /// The clusters to free. Empty for clusters of a data file, which have no refcounts.
    counted: Range<u64>,
    start: HostOffset,
}

impl<'a> Reservation<'a> {
    /// Reserves the clusters from `start`. When dropped, this frees `counted`.
    pub(crate) fn new(writeback: &'a Writeback, counted: Range<u64>, start: HostOffset) -> Self {
        Self { writeback, counted, start }
    }

    /// Returns the host offset of the first cluster.
    pub(crate) fn start(&self) -> HostOffset {
        self.start
    }

    /// Returns the clusters that dropping this would free.
    pub(crate) fn clusters(&self) -> Range<u64> {
        self.counted.clone()
    }

    /// Ends the reservation, because all clusters are linked.
    pub(crate) fn keep(mut self) {
        self.counted = 0..0;
    }

    /// Removes the first cluster from the reservation, because it is linked.
    pub(crate) fn keep_first(&mut self) {
        self.counted.next();
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        // A write of a dropped request may still be under way, so the clusters are allocated again only after a flush.
        self.writeback.free(self.counted.clone());
    }
}
