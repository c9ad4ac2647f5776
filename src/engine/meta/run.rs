//! Runs: consecutive guest bytes with the same mapping.

use crate::format::l2::{CompressedSpan, L2Entry};
use crate::format::units::HostOffset;

/// The mapping of a range of guest bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// Reads from the backing file. A host cluster may still be allocated, for other subclusters.
    Unallocated(Option<HostOffset>),
    /// Zeros, with or without a host cluster.
    Zero(Option<HostOffset>),
    /// Data at this host offset of the data file.
    Data(HostOffset),
    /// A whole compressed cluster, or the requested range of it.
    Compressed(CompressedSpan),
}

/// Consecutive guest bytes with the same mapping; data is at consecutive host offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) length: u64,
    pub(crate) mapping: Mapping,
    /// The number of bytes, from the first, in clusters that are COPIED at every level.
    pub(crate) copied: u64,
    /// The run reaches the end of the table slice that maps it: another lookup may find that it goes on.
    pub(crate) reaches_slice_end: bool,
    /// The L2 table that maps the first byte may be changed in place: its L1 entry is COPIED.
    pub(crate) l2_table_copied: bool,
    /// The first byte's L2 entry and its host offset; `None` without an L2 table.
    pub(crate) l2_entry: Option<(HostOffset, L2Entry)>,
}

impl Run {
    /// Returns a run that no L2 table maps: it reads from the backing file.
    pub(crate) fn without_l2_table(length: u64) -> Self {
        Self {
            length,
            mapping: Mapping::Unallocated(None),
            copied: 0,
            reaches_slice_end: true,
            l2_table_copied: false,
            l2_entry: None,
        }
    }

    /// Returns a run of a raw file, which has no mapping.
    pub(crate) fn raw(offset: HostOffset, length: u64) -> Self {
        Self { mapping: Mapping::Data(offset), reaches_slice_end: false, ..Self::without_l2_table(length) }
    }

    /// Appends `next`, and returns true, if the two are one run.
    #[inline]
    pub(crate) fn try_extend(&mut self, next: Run) -> bool {
        let hosts = match (self.mapping, next.mapping) {
            (Mapping::Unallocated(host), Mapping::Unallocated(next)) | (Mapping::Zero(host), Mapping::Zero(next)) => {
                (host, next)
            }
            (Mapping::Data(host), Mapping::Data(next)) => (Some(host), Some(next)),
            // Each compressed cluster is a separate run.
            _ => return false,
        };
        let continues = match hosts {
            (None, None) => true,
            (Some(host), Some(next)) => host.plus(self.length) == next,
            _ => false,
        };
        if continues {
            if self.copied == self.length {
                self.copied += next.copied;
            }
            self.length += next.length;
            self.reaches_slice_end = next.reaches_slice_end;
        }
        continues
    }

    /// Cuts the run to at most `limit` bytes.
    #[inline]
    pub(crate) fn cut(mut self, limit: u64) -> Self {
        self.length = self.length.min(limit);
        self.copied = self.copied.min(limit);
        self
    }

    /// Returns whether another lookup may extend the run, up to `limit` bytes.
    pub(crate) fn may_continue(&self, limit: u64) -> bool {
        self.length < limit && self.reaches_slice_end && !matches!(self.mapping, Mapping::Compressed(_))
    }
}
