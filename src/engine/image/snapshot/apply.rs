//! Applying a snapshot.

use core::ops::ControlFlow;

use super::{checked_l1_table, checked_size, position};
use crate::error::Error;
use crate::format::l1::L1Table;
use crate::image::Image;
use crate::image::check::Progress;
use crate::image::progress::Steps;
use crate::image::write::rewrite_tables::Rewrite;
use crate::storage::StorageMut;

impl<S: StorageMut> Image<S> {
    /// Restores the disk, with its size, from the snapshot with this id or else this name.
    ///
    /// The current contents of the disk are lost, unless another snapshot has them. The snapshot stays.
    ///
    /// See [`create_snapshot`](Self::create_snapshot) for cost, waiting and durability. If it fails or is dropped, the
    /// disk is unchanged or restored completely.
    pub async fn apply_snapshot(
        &self,
        selector: &str,
        on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Error<S::Error>> {
        let writeback = self.writable_with_snapshots()?;
        let closed = writeback.gate.close().await;
        writeback.check_writable()?;
        let file = &*self.top;
        let old = file.active.l1();
        let geometry = file.tables.geometry();
        let snapshots = self.snapshots();
        let snapshot = &snapshots[position(&snapshots, selector)?];
        let source = checked_l1_table(snapshot, geometry)?;
        let size = checked_size(snapshot, file.active.size(), geometry)?;
        // The VM state after the disk stays with the snapshot.
        let source = L1Table { entries: geometry.l1_entries_for(size), ..source };
        let mut rewrite = Rewrite::begin(file, writeback, &closed, Steps::new(on_progress)).await?;
        let (l1, source_l1) = (rewrite.read_l1(old).await?, rewrite.read_l1(source).await?);
        rewrite.expect(l1.len() + source_l1.len());
        // Remove references first, so that no refcount rises above what the old or the new state needs.
        rewrite.remove(&l1, old.offset).await?;
        let shared = rewrite.share(&source_l1, source.offset, false).await?;
        let new = rewrite.write_l1(&shared).await?;
        rewrite.remove_l1(old).await?;
        let pointers = rewrite.new.table_pointers();
        (pointers.l1, pointers.size) = (new, size);
        file.observers.notify(&(0..file.active.size().max(size)));
        rewrite.new.commit().await?;
        file.active.set(new, size);
        Ok(())
    }
}
