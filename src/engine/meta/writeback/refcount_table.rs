//! Moves the refcount table to other clusters.
//!
//! A table that has become too long and a restructuring of all tables use the same method: copy the blocks whose refcounts
//! change, write the complete new table, and switch to both by one write of the header.

use core::ops::Range;

use super::Writeback;
use crate::error::Error;
use crate::format::header::table_pointers::TablePointers;
use crate::meta::host_file::Files;
use crate::meta::new_refcounts::NewRefcounts;
use crate::storage::StorageMut;

/// The old and the new clusters of the refcount table.
pub(in crate::meta) struct Moved {
    pub(in crate::meta) from: Range<u64>,
    pub(in crate::meta) to: Range<u64>,
}

impl Writeback {
    /// Moves the refcount table, which has become too long. All refcount blocks are written, and none is dirty.
    ///
    /// If this is dropped, the next write-back repeats it.
    pub(super) async fn move_refcount_table<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let refcounts = NewRefcounts::of(&self.refcounts);
        let mut table_pointers = self.table_pointers();
        let Moved { from, to } = self.write_new_refcounts(files, &refcounts, &mut table_pointers).await?;
        self.switch_table_pointers(files, table_pointers, refcounts.end()).await?;
        self.refcounts.metadata_ranges.remove(from);
        self.refcounts.metadata_ranges.add(to);
        refcounts.adopt();
        Ok(())
    }

    /// Writes `refcounts` to free clusters, with a new table, and sets `table_pointers` to that table.
    pub(in crate::meta) async fn write_new_refcounts<S: StorageMut>(
        &self,
        files: &Files<S>,
        refcounts: &NewRefcounts<'_>,
        table_pointers: &mut TablePointers,
    ) -> Result<Moved, Error<S::Error>> {
        let from = table_pointers.refcount_table_range(self.geometry);
        let to = refcounts.move_table(&files.image, from.clone()).await?;
        table_pointers.refcount_table = self.offset_of(to.start);
        table_pointers.refcount_table_clusters = u32::try_from(to.end - to.start).unwrap_or(u32::MAX);
        self.write_dirty(&files.image, &refcounts.dirty).await?;
        self.write_table(files, table_pointers.refcount_table, &refcounts.whole_table()).await?;
        Ok(Moved { from, to })
    }
}
