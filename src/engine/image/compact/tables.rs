//! Moving the tables to which the header and the snapshot table point.

use alloc::boxed::Box;
use alloc::rc::Weak;
use alloc::vec::Vec;

use super::{Task, Usage};
use crate::error::Error;
use crate::format::l1::{L1_ENTRY_SIZE, L1Table};
use crate::image::Image;
use crate::image::progress::Steps;
use crate::image::snapshot::checked_l1_table;
use crate::image::snapshot::table::Entries;
use crate::image::write::rewrite_tables::Rewrite;
use crate::storage::StorageMut;

impl<S: StorageMut> Image<S> {
    /// Moves the L1 tables, the snapshot table, the refcount table and the refcount blocks that are at or after the
    /// target. Drops refcount blocks that count only free clusters after the last one in use.
    ///
    /// A table of several clusters moves only if a free range before the target is long enough.
    pub(super) async fn move_tables(&self, usage: Usage) -> Result<(), Error<S::Error>> {
        let closed = self.exclusive().await?;
        let writeback = self.writable()?;
        let file = &*self.top;
        let geometry = file.tables.geometry();
        let refcount_table = writeback.table_pointers().refcount_table_range(geometry);
        // Each restructuring moves the refcount table.
        if !self.has_free_run(refcount_table.end - refcount_table.start, usage.target).await? {
            return Ok(());
        }
        let reaches_end = |l1: L1Table| {
            let length = l1.entries.saturating_mul(L1_ENTRY_SIZE).max(1);
            let clusters = length.div_ceil(geometry.cluster_size());
            ((l1.offset.0 >> geometry.cluster_bits()) + clusters > usage.target).then_some(clusters)
        };
        let mut entries = if file.files.data_file.is_none() { Some(Entries::read(file).await?) } else { None };
        let mut l1_tables = Vec::from([file.active.l1()]);
        for (snapshot, _) in entries.iter().flat_map(|entries| &entries.list) {
            l1_tables.push(checked_l1_table(snapshot, geometry)?);
        }
        // The table before and after the move.
        let mut moved: Vec<(L1Table, L1Table)> = Vec::new();
        for l1 in &l1_tables {
            // In a corrupt image, snapshots may share a table.
            let is_unique = l1_tables.iter().filter(|other| other.offset == l1.offset).count() == 1;
            if let Some(clusters) = reaches_end(*l1).filter(|_| is_unique)
                && self.has_free_run(clusters, usage.target).await?
            {
                moved.push((*l1, *l1));
            }
        }
        let snapshots = writeback.table_pointers().snapshots;
        let snapshot_clusters = entries.as_ref().map_or(0..0, |entries| entries.clusters(snapshots, geometry));
        let moves_snapshots = snapshot_clusters.end > usage.target
            && self.has_free_run(snapshot_clusters.end - snapshot_clusters.start, usage.target).await?;
        let moves_refcounts =
            refcount_table.end > usage.target || writeback.refcounts.has_block_from(usage.target, usage.end);
        if moved.is_empty() && !moves_snapshots && !moves_refcounts {
            return Ok(());
        }
        let mut rewrite = Rewrite::begin(file, writeback, &closed, Steps::none()).await?;
        rewrite.new.move_refcount_blocks(usage.target, usage.end).await?;
        rewrite.new.move_refcount_table().await?;
        for (old, new) in &mut moved {
            let l1 = rewrite.read_l1(*old).await?;
            *new = rewrite.write_l1(&l1).await?;
            rewrite.remove_l1(*old).await?;
        }
        let new_of = |old: L1Table| moved.iter().find(|(from, _)| *from == old).map(|(_, to)| *to);
        let mut changes_snapshots = moves_snapshots;
        for (snapshot, entry) in entries.iter_mut().flat_map(|entries| &mut entries.list) {
            if let (Some(new), Some(field)) = (new_of(snapshot.l1_table()), entry.first_chunk_mut::<8>()) {
                snapshot.l1_table_offset = new.offset.0;
                *field = new.offset.0.to_be_bytes();
                changes_snapshots = true;
            }
        }
        if let Some(entries) = entries.as_ref().filter(|_| changes_snapshots) {
            entries.replace(&mut rewrite).await?;
        }
        let active = new_of(file.active.l1()).unwrap_or(file.active.l1());
        rewrite.new.table_pointers().l1 = active;
        rewrite.new.commit().await?;
        // No await from here on: the old tables are free.
        file.active.set(active, file.active.size());
        for view in file.open_snapshots.borrow().iter().filter_map(Weak::upgrade) {
            if let Some(new) = new_of(view.l1()) {
                view.set(new, view.size());
            }
        }
        if let Some(entries) = entries {
            file.snapshots.replace(entries.into_snapshots().into());
        }
        Ok(())
    }

    /// Returns whether `clusters` contiguous clusters before `target` are free.
    fn has_free_run(&self, clusters: u64, target: u64) -> Task<'_, bool, S::Error> {
        Box::pin(async move {
            let refcounts = &self.writable()?.refcounts;
            let first = refcounts.free_run(&self.top.files.image, refcounts.candidate(), clusters.max(1)).await?;
            Ok(first + clusters <= target)
        })
    }
}
