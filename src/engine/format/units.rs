//! Types for offsets, so that guest and host offsets are not confused.

/// An offset on the guest disk, or in the VM state, which follows the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GuestOffset(pub(crate) u64);

/// An offset in the image file or in the external data file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostOffset(pub(crate) u64);

impl GuestOffset {
    /// Adds `bytes`, and saturates: an offset of 2^64 or more is past the end of every disk.
    pub(crate) fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

impl HostOffset {
    /// Adds `bytes`, and saturates: an offset of 2^64 or more is past the end of every file.
    pub(crate) fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

/// Converts a number that is known to be small: at most a table, a cluster, or the length of a buffer.
#[inline]
pub(crate) fn usize_of(small: u64) -> usize {
    usize::try_from(small).unwrap_or(usize::MAX)
}
