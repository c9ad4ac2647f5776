//! Deleting and renaming a snapshot.

use alloc::rc::Weak;
use core::ops::ControlFlow;

use super::table::Entries;
use super::{checked_l1_table, position};
use crate::error::{Corrupt, Error, Misuse};
use crate::format::snapshot::{EntryLayout, Snapshot};
use crate::image::Image;
use crate::image::check::Progress;
use crate::image::progress::Steps;
use crate::image::write::rewrite_tables::Rewrite;
use crate::storage::{Storage, StorageMut};

impl<S: StorageMut> Image<S> {
    /// Deletes the snapshot with this id or else this name, and frees the clusters that only it uses.
    ///
    /// Refused while [`open_snapshot`](Self::open_snapshot) has it open. See [`create_snapshot`](Self::create_snapshot)
    /// for cost, waiting and durability. If it fails or is dropped, the image has the complete snapshot or none.
    pub async fn delete_snapshot(
        &self,
        selector: &str,
        on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Error<S::Error>> {
        let writeback = self.writable_with_snapshots()?;
        let closed = writeback.gate.close().await;
        writeback.check_writable()?;
        let file = &*self.top;
        let old = file.active.l1();
        let index = position(&self.snapshots(), selector)?;
        let mut entries = Entries::read(file).await?;
        let (snapshot, _) = entries.list.remove(index);
        if self.has_open(&snapshot) {
            return Err(Misuse::SnapshotInUse { id: snapshot.id }.into());
        }
        let deleted = checked_l1_table(&snapshot, file.tables.geometry())?;
        let mut rewrite = Rewrite::begin(file, writeback, &closed, Steps::new(on_progress)).await?;
        let (l1, deleted_l1) = (rewrite.read_l1(old).await?, rewrite.read_l1(deleted).await?);
        rewrite.expect(l1.len() + deleted_l1.len());
        rewrite.remove(&deleted_l1, deleted.offset).await?;
        rewrite.remove_l1(deleted).await?;
        let copied = rewrite.with_copied_flags(&l1, old.offset, u64::MAX).await?;
        let mut active = old;
        if copied != l1 {
            active = rewrite.write_l1(&copied).await?;
            rewrite.remove_l1(old).await?;
        }
        entries.replace(&mut rewrite).await?;
        rewrite.new.table_pointers().l1 = active;
        rewrite.new.commit().await?;
        file.active.set(active, file.active.size());
        file.snapshots.replace(entries.into_snapshots().into());
        Ok(())
    }

    /// Renames the snapshot with this id or else this name, to a name of at most 255 bytes.
    ///
    /// The change is durable when it completes.
    pub async fn rename_snapshot(&self, selector: &str, name: &str) -> Result<(), Error<S::Error>> {
        let writeback = self.writable_with_snapshots()?;
        if name.len() > super::create::MAX_NAME {
            return Err(Misuse::SnapshotNameTooLong(name.len()).into());
        }
        let closed = writeback.gate.close().await;
        writeback.check_writable()?;
        let file = &*self.top;
        let index = position(&self.snapshots(), selector)?;
        let mut entries = Entries::read(file).await?;
        if let Some((snapshot, entry)) = entries.list.get_mut(index) {
            let (number, offset) = (u32::try_from(index).unwrap_or(u32::MAX), file.header().raw().snapshots_offset);
            let layout = EntryLayout::parse(entry, number, offset)?;
            *entry = layout.renamed(entry, name).ok_or(Corrupt::SnapshotTruncated { index: number, offset })?;
            snapshot.name = name.into();
        }
        let mut rewrite = Rewrite::begin(file, writeback, &closed, Steps::none()).await?;
        entries.replace(&mut rewrite).await?;
        rewrite.new.commit().await?;
        file.snapshots.replace(entries.into_snapshots().into());
        Ok(())
    }
}

impl<S: Storage> Image<S> {
    /// Whether the snapshot is open for reading.
    fn has_open(&self, snapshot: &Snapshot) -> bool {
        let open = self.top.open_snapshots.borrow();
        open.iter().filter_map(Weak::upgrade).any(|view| view.l1() == snapshot.l1_table())
    }
}
