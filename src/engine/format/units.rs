//! Offsets that must not be mistaken for each other.

/// A byte of the guest's disk (or of the VM state, which lies behind it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GuestOffset(pub(crate) u64);

/// A byte of the file that holds the data: the image file, or the external data file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostOffset(pub(crate) u64);

impl GuestOffset {
    /// Saturates: an offset past 2^64 is past every disk.
    pub(crate) fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

impl HostOffset {
    /// Saturates: an offset past 2^64 is past the end of every file.
    pub(crate) fn plus(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

/// A number that is known to be small: at most a table, a cluster, or the length of a buffer.
#[inline]
pub(crate) fn usize_of(small: u64) -> usize {
    usize::try_from(small).unwrap_or(usize::MAX)
}
