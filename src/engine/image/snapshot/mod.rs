//! Snapshots: listing them, and opening one to read.

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
    /// The snapshots that the image has now, in the order of its table; where that is damaged, those before the damage.
    pub fn snapshots(&self) -> Rc<[Snapshot]> {
        self.top.snapshots.borrow().clone()
    }

    /// Opens a snapshot by its id, or else by its name, beside the active disk, with which it shares the caches.
    ///
    /// It has the size that the disk had when the snapshot was taken (QEMU shows it at the size of the active disk).
    /// Does no I/O.
    pub fn open_snapshot(&self, selector: &str) -> Result<Self, Error<S::Error>> {
        let snapshots = self.snapshots();
        let position =
            position(&snapshots, selector).map_err(|misuse| match self.top.damage.borrow().problems().next() {
                // It may be one that can't be read.
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

/// The snapshot's L1 table, if it can be one.
pub(super) fn checked_l1_table(snapshot: &Snapshot, geometry: Geometry) -> Result<L1Table, Corrupt> {
    let (table, l1) = (HeaderTable::SnapshotL1, snapshot.l1_table());
    if l1.entries > MAX_L1_ENTRIES {
        return Err(Corrupt::TableTooLarge { table, count: l1.entries });
    }
    if !geometry.is_cluster_aligned(l1.offset.0) || l1.offset.0 > i64::MAX as u64 {
        return Err(Corrupt::TableUnaligned { table, offset: l1.offset.0 });
    }
    Ok(l1)
}

/// The size of the snapshot's disk, if its L1 table reaches so far; one that doesn't record it has the size of the disk.
pub(super) fn checked_size(snapshot: &Snapshot, disk: u64, geometry: Geometry) -> Result<u64, Corrupt> {
    let size = snapshot.disk_size.map_or(disk, |size| size / SECTOR * SECTOR);
    let (l1, needed) = (snapshot.l1_table(), geometry.l1_entries_for(size));
    if l1.entries < needed {
        return Err(Corrupt::SnapshotL1TooSmall { offset: l1.offset.0, entries: l1.entries, needed });
    }
    Ok(size)
}

/// The snapshot as QEMU looks it up: any id before any name.
pub(super) fn position(snapshots: &[Snapshot], selector: &str) -> Result<usize, Misuse> {
    let by_id = snapshots.iter().position(|snapshot| snapshot.id == selector);
    let found = by_id.or_else(|| snapshots.iter().position(|snapshot| snapshot.name == selector));
    found.ok_or_else(|| Misuse::NoSuchSnapshot { selector: selector.into() })
}
