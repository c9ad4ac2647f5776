//! The refcount table moves to another place.
//!
//! There is one way to do it, whether the table has outgrown its place or all tables change: the blocks whose counts
//! change are copied, the table is written whole with them, and one write of the header switches to both.

use core::ops::Range;

use super::Writeback;
use crate::error::Error;
use crate::format::header::table_pointers::Roots;
use crate::meta::host_file::Files;
use crate::meta::new_refcounts::NewCounts;
use crate::storage::StorageMut;

/// The clusters where the refcount table was, and those where it is.
pub(in crate::meta) struct Moved {
    pub(in crate::meta) from: Range<u64>,
    pub(in crate::meta) to: Range<u64>,
}

impl Writeback {
    /// Moves the refcount table, which has outgrown its place. All counts are written, and none is dirty.
    ///
    /// When it is dropped, the next write-back does it again.
    pub(super) async fn move_refcount_table<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let counts = NewCounts::of(&self.refcounts);
        let mut roots = self.roots();
        let Moved { from, to } = self.write_new_counts(files, &counts, &mut roots).await?;
        self.switch_roots(files, roots, counts.end()).await?;
        self.refcounts.occupied.remove(from);
        self.refcounts.occupied.add(to);
        counts.adopt();
        Ok(())
    }

    /// Writes `counts` to free clusters, with a table that `roots` then point to.
    pub(in crate::meta) async fn write_new_counts<S: StorageMut>(
        &self,
        files: &Files<S>,
        counts: &NewCounts<'_>,
        roots: &mut Roots,
    ) -> Result<Moved, Error<S::Error>> {
        let from = roots.refcount_table_place(self.geometry);
        let to = counts.move_table(&files.image, from.clone()).await?;
        roots.refcount_table = self.offset_of(to.start);
        roots.refcount_table_clusters = u32::try_from(to.end - to.start).unwrap_or(u32::MAX);
        self.write_dirty(&files.image, &counts.dirty).await?;
        self.write_table(files, roots.refcount_table, &counts.whole_table()).await?;
        Ok(Moved { from, to })
    }
}
