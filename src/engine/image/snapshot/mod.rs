//! Snapshots: listing them, and opening one for reading.

pub(crate) mod apply;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod table;
pub(crate) mod vm_state;

use alloc::rc::Rc;

use super::Image;
use super::layer::{Layer, View};
use crate::error::{Corrupt, Error, HeaderTable, Misuse};
use crate::format::geometry::Geometry;
use crate::format::l1::{L1Table, MAX_L1_ENTRIES};
use crate::format::snapshot::Snapshot;
use crate::storage::Storage;

pub(super) const SECTOR: u64 = 512;

impl<S: Storage> Image<S> {
    /// The snapshots of the image, in the order of its table.
    ///
    /// If the table is corrupt, these are the snapshots before the corruption.
    pub fn snapshots(&self) -> Rc<[Snapshot]> {
        self.top.snapshots.borrow().clone()
    }

    /// Opens a snapshot for reading, by its id or else by its name. Does no I/O.
    ///
    /// The snapshot shares the caches with the active disk. It has the size that the disk had when the snapshot was
    /// created (QEMU shows it at the size of the active disk).
    pub fn open_snapshot(&self, selector: &str) -> Result<Self, Error<S::Error>> {
        let snapshots = self.snapshots();
        let position =
            position(&snapshots, selector).map_err(|misuse| match self.top.damage.borrow().problems().next() {
                // The snapshot may be in the part of the table that cannot be read.
                Some(problem) => Error::from(problem),
                None => misuse.into(),
            })?;
        let snapshot = &snapshots[position];
        let geometry = self.top.header().geometry();
        let l1 = checked_l1_table(snapshot, geometry)?;
        let size = checked_size(snapshot, self.top.active.size(), geometry)?;
        let view = Rc::new(View::new(l1, size));
        self.top.remember_open_snapshot(&view);
        Ok(self.with_disk(Layer::Qcow2 { file: self.top.clone(), view }, snapshot.vm_state_size))
    }
}

/// Returns the snapshot's L1 table if its size and offset are valid.
pub(in crate::image) fn checked_l1_table(snapshot: &Snapshot, geometry: Geometry) -> Result<L1Table, Corrupt> {
    let (table, l1) = (HeaderTable::SnapshotL1, snapshot.l1_table());
    if l1.entries > MAX_L1_ENTRIES {
        return Err(Corrupt::TableTooLarge { table, count: l1.entries });
    }
    if !geometry.is_cluster_aligned(l1.offset.0) || l1.offset.0 > i64::MAX as u64 {
        return Err(Corrupt::TableUnaligned { table, offset: l1.offset.0 });
    }
    Ok(l1)
}

/// Returns the size of the snapshot's disk if its L1 table covers it. A snapshot that records no size has the size of
/// the disk.
pub(super) fn checked_size(snapshot: &Snapshot, disk: u64, geometry: Geometry) -> Result<u64, Corrupt> {
    let size = snapshot.disk_size.map_or(disk, |size| size / SECTOR * SECTOR);
    let (l1, needed) = (snapshot.l1_table(), geometry.l1_entries_for(size));
    if l1.entries < needed {
        return Err(Corrupt::SnapshotL1TooSmall { offset: l1.offset.0, entries: l1.entries, needed });
    }
    Ok(size)
}

/// Finds a snapshot as QEMU does: any id takes precedence over any name.
pub(super) fn position(snapshots: &[Snapshot], selector: &str) -> Result<usize, Misuse> {
    let by_id = snapshots.iter().position(|snapshot| snapshot.id == selector);
    let found = by_id.or_else(|| snapshots.iter().position(|snapshot| snapshot.name == selector));
    found.ok_or_else(|| Misuse::NoSuchSnapshot { selector: selector.into() })
}
