//! Counters of an open image.

use crate::image::Image;
use crate::storage::Storage;

/// What an image has done since it was opened.
///
/// The counters cost next to nothing. They tell whether caches are large enough: in a warm image a request makes one
/// look-up for each run of the disk that it touches, and reads no tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// How many runs of the image's own disk were resolved: look-ups that came to an L2 entry.
    pub lookups: u64,
    /// How many slices of tables were read from the storages of the whole chain.
    pub table_reads: u64,
}

impl<S: Storage> Image<S> {
    /// Returns what the image has done since it was opened; its clones and snapshots count with it.
    pub fn statistics(&self) -> Statistics {
        let tables = &self.top.tables;
        Statistics { lookups: tables.lookups(), table_reads: tables.cache().loads() }
    }
}
