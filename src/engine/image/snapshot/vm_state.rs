//! The saved state of a machine (VM state), which is stored after the disk.

use alloc::rc::Rc;

use crate::error::{Error, Misuse};
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry, MAX_L1_ENTRIES};
use crate::format::units::usize_of;
use crate::image::Image;
use crate::image::change::disk::Disk;
use crate::image::layer::{Layer, View};
use crate::image::progress::Steps;
use crate::image::read::{check_bounds, read_layers};
use crate::image::write::rewrite_tables::Rewrite;
use crate::storage::{Storage, StorageMut};

/// No VM state is longer: guest offsets have 63 bits.
const MAX_VM_STATE: u64 = 1 << 62;

impl<S: Storage> Image<S> {
    /// The length of the snapshot's VM state in bytes; 0 for the active disk.
    pub fn vm_state_size(&self) -> u64 {
        self.vm_state_size
    }

    /// Reads the bytes at `offset` of the VM state into `buf`.
    ///
    /// For the active disk, this is what [`write_vm_state`](Self::write_vm_state) wrote. The format does not record its
    /// length: parts that were never written read as zeros.
    pub async fn read_vm_state(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error<S::Error>> {
        let _request = self.top.begin_request().await;
        let Layer::Qcow2 { file, view } = self.disk().clone() else {
            // The first layer is the image itself.
            return Ok(());
        };
        let is_active = Rc::ptr_eq(&view, &file.active);
        check_bounds(offset, buf.len(), if is_active { MAX_VM_STATE } else { self.vm_state_size })?;
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
    /// Until then the VM state is after the active disk, where `qemu-io`'s `write -b` puts it too. A crash leaves it there,
    /// and the next snapshot or resize, or [`discard_vm_state`](Self::discard_vm_state), drops it. Parts of clusters that
    /// are not written are unspecified.
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

    /// Discards the VM state of the active disk, and truncates the file if its end is free. Snapshots keep theirs.
    ///
    /// Waits for the running requests; new requests wait for it. The change is durable when it completes. If it fails or
    /// is dropped, the VM state is there or discarded.
    pub async fn discard_vm_state(&self) -> Result<(), Error<S::Error>> {
        let writeback = self.writable_with_snapshots()?;
        let closed = writeback.gate.close().await;
        writeback.check_writable()?;
        let active = &self.top.active;
        let kept = self.top.tables.geometry().l1_entries_for(active.size());
        if active.l1().entries <= kept {
            return Ok(());
        }
        // The first new table is after the freed clusters; the second takes a free cluster before them.
        for _ in 0..2 {
            let old = active.l1();
            let mut rewrite = Rewrite::begin(&self.top, writeback, &closed, Steps::none()).await?;
            let mut l1 = rewrite.read_l1(old).await?;
            let dropped = l1.split_off(l1.len().min(usize_of(kept)));
            rewrite.remove(&dropped, old.offset.plus(kept * L1_ENTRY_SIZE)).await?;
            let new = rewrite.write_l1(&l1).await?;
            rewrite.remove_l1(old).await?;
            rewrite.new.table_pointers().l1 = new;
            rewrite.new.commit().await?;
            active.set(new, active.size());
        }
        let _guard = writeback.lock.acquire().await;
        writeback.drain(&self.top.files).await?;
        writeback.cut_file(&self.top.files).await
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
