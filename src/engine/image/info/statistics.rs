//! Counters of an open image.

use crate::image::Image;
use crate::storage::Storage;

/// The counters of an image since it was opened.
///
/// The counters cost almost nothing. They show whether the caches are large enough: with warm caches, a request makes
/// one lookup for each run of the disk that it touches, and reads no tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// How many runs of the image's own disk were resolved: lookups that reached an L2 entry.
    pub lookups: u64,
    /// How many table slices were read from the storages of the whole chain.
    pub table_reads: u64,
}

impl<S: Storage> Image<S> {
    /// Returns the counters since the image was opened. Its clones and snapshots share them.
    pub fn statistics(&self) -> Statistics {
        let tables = &self.top.tables;
        Statistics { lookups: tables.lookups(), table_reads: tables.cache().loads() }
    }
}
