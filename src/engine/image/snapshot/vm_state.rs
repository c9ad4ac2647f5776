//! The saved state of a machine (VM state), which is stored after the disk.

use alloc::rc::Rc;

use crate::error::{Error, Misuse};
use crate::format::l1::{L1Entry, MAX_L1_ENTRIES};
use crate::image::Image;
use crate::image::change::disk::Disk;
use crate::image::layer::{Layer, View};
use crate::image::progress::Steps;
use crate::image::read::{check_bounds, read_layers};
use crate::image::write::rewrite_tables::Rewrite;
use crate::storage::{Storage, StorageMut};

impl<S: Storage> Image<S> {
    /// The length of the snapshot's VM state in bytes; 0 for the active disk.
    pub fn vm_state_size(&self) -> u64 {
        self.vm_state_size
    }

    /// Reads the bytes at `offset` of the VM state into `buf`.
    pub async fn read_vm_state(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error<S::Error>> {
        check_bounds(offset, buf.len(), self.vm_state_size)?;
        let _request = self.top.begin_request().await;
        let Layer::Qcow2 { file, view } = self.disk().clone() else {
            // The first layer is the image itself.
            return Ok(());
        };
        let start = file.tables.geometry().vm_state_offset(view.size()).plus(offset);
        // Only the image itself has the VM state: no backing file provides any of it.
        let vm_state = [Layer::Qcow2 { file, view: Rc::new(View::new(view.l1(), u64::MAX)) }];
        read_layers(&vm_state, start, buf).await
    }
}

impl<S: StorageMut> Image<S> {
    /// Writes `buf` at `offset` of the VM state for the next snapshot.
    ///
    /// See [`SnapshotOptions::vm_state_size`](crate::SnapshotOptions::vm_state_size).
    ///
    /// Until then the VM state is after the active disk, where QEMU puts it too. A crash leaves it there, and the
    /// next snapshot or resize drops it. Parts that are not written are unspecified.
    pub async fn write_vm_state(&self, offset: u64, buf: &[u8]) -> Result<(), Error<S::Error>> {
        self.writable_with_snapshots()?;
        loop {
            let disk = Disk::enter(self).await?;
            let geometry = disk.geometry();
            let start = geometry.vm_state_offset(self.size()).plus(offset);
            let needed = geometry.l1_entries_for(start.plus(buf.len() as u64).0);
            if needed <= disk.l1.entries {
                let result = self.write_steps(&disk, start, buf).await;
                return disk.conclude(result).await;
            }
            if needed > MAX_L1_ENTRIES {
                return Err(Misuse::ImageFull.into());
            }
            drop(disk);
            self.enlarge_l1(needed).await?;
        }
    }

    /// Gives the disk an L1 table of at least `needed` entries.
    async fn enlarge_l1(&self, needed: u64) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        let closed = writeback.gate.close().await;
        writeback.check_writable()?;
        let active = &self.top.active;
        let old = active.l1();
        if old.entries >= needed {
            return Ok(());
        }
        // Grow by at least half, so that a long VM state does not need many steps.
        let entries = needed.max(old.entries + old.entries / 2).min(MAX_L1_ENTRIES);
        let mut rewrite = Rewrite::begin(&self.top, writeback, &closed, Steps::none()).await?;
        let mut l1 = rewrite.read_l1(old).await?;
        l1.resize(usize::try_from(entries).unwrap_or(usize::MAX), L1Entry(0));
        let new = rewrite.write_l1(&l1).await?;
        rewrite.remove_l1(old).await?;
        rewrite.new.table_pointers().l1 = new;
        rewrite.new.commit().await?;
        active.set(new, active.size());
        Ok(())
    }
}
