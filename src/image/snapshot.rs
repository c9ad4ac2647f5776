//! Snapshots: listing them, and opening one to read.

use alloc::vec::Vec;

use super::Image;
use super::layer::{Layer, Qcow2File};
use crate::error::{Corrupt, Error, HeaderTable, Misuse};
use crate::format::geometry::Geometry;
use crate::format::header::{L1Table, RawHeader};
use crate::format::l1::MAX_L1_ENTRIES;
use crate::format::snapshot::{ALIGNMENT, EntryLayout, FIXED_BYTES, MAX_TABLE_BYTES, Snapshot};
use crate::format::units::HostOffset;
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

/// How much of the table is read at once.
const READ_AHEAD: u64 = 64 << 10;
const SECTOR: u64 = 512;

impl<S: Storage> Image<S> {
    /// The snapshots of the image, in the order of its table.
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// Opens a snapshot by its id, or else by its name, beside the active disk, with which it shares the caches.
    ///
    /// It has the size that the disk had when the snapshot was taken (QEMU shows it at the size of the active disk).
    /// Does no I/O.
    pub fn open_snapshot(&self, selector: &str) -> Result<Self, Error<S::Error>> {
        let found = find(&self.snapshots, selector);
        let snapshot = found.ok_or_else(|| Misuse::NoSuchSnapshot { selector: selector.into() })?;
        let geometry = self.top.header().geometry();
        let l1 = checked_l1_table(snapshot, geometry)?;
        let size = snapshot.disk_size.map_or(self.top.header().disk_size(), |size| size / SECTOR * SECTOR);
        let needed = geometry.l1_entries_for(size);
        if l1.entries < needed {
            let (offset, entries) = (l1.offset.0, l1.entries);
            return Err(Corrupt::SnapshotL1TooSmall { offset, entries, needed }.into());
        }
        let disk = Layer::Qcow2 { file: self.top.clone(), l1, size };
        Ok(self.with_disk(disk, snapshot.vm_state_size))
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

/// As QEMU looks a snapshot up: any id before any name.
fn find<'a>(snapshots: &'a [Snapshot], selector: &str) -> Option<&'a Snapshot> {
    let by_id = snapshots.iter().find(|snapshot| snapshot.id == selector);
    by_id.or_else(|| snapshots.iter().find(|snapshot| snapshot.name == selector))
}

/// Reads the snapshot table; no request where there are no snapshots, and one for most tables.
pub(crate) async fn read_snapshot_table<S: Storage>(image: &Qcow2File<S>) -> Result<Vec<Snapshot>, Error<S::Error>> {
    Ok(SnapshotTable::of(image.header().raw()).read(&image.files.image).await?.0)
}

/// Where the snapshot table is; the header doesn't record its size.
pub(crate) struct SnapshotTable {
    start: u64,
    count: u32,
}

impl SnapshotTable {
    pub(crate) fn of(header: &RawHeader) -> Self {
        Self { start: header.snapshots_offset, count: header.nb_snapshots }
    }

    /// The snapshots, and the length of the table in bytes.
    pub(crate) async fn read<S: Storage>(self, file: &HostFile<S>) -> Result<(Vec<Snapshot>, u64), Error<S::Error>> {
        let mut window = Window { file, start: self.start, bytes: Vec::new() };
        let mut snapshots = Vec::new();
        let mut at = self.start;
        for index in 0..self.count {
            let truncated = Corrupt::SnapshotTruncated { index, offset: at };
            let fixed = window.bytes(at, FIXED_BYTES).await?.ok_or(truncated)?;
            let layout = EntryLayout::parse(fixed, index, at)?;
            let entry = window.bytes(at, layout.length()).await?.ok_or(truncated)?;
            snapshots.push(layout.read(entry).ok_or(truncated)?);
            at = (at + layout.length()).next_multiple_of(ALIGNMENT);
            if at - self.start > MAX_TABLE_BYTES {
                return Err(Corrupt::TableTooLarge { table: HeaderTable::Snapshots, count: self.count.into() }.into());
            }
        }
        Ok((snapshots, at - self.start))
    }
}

/// A part of the file that moves forward, read in large requests.
struct Window<'a, S> {
    file: &'a HostFile<S>,
    start: u64,
    bytes: Vec<u8>,
}

impl<S: Storage> Window<'_, S> {
    /// The `length` bytes at `at`, which is not before the window; `None` where the file ends within them.
    async fn bytes(&mut self, at: u64, length: u64) -> Result<Option<&[u8]>, Error<S::Error>> {
        let end = at.saturating_add(length);
        if end > self.start.saturating_add(self.bytes.len() as u64) {
            let ahead = length.max(READ_AHEAD);
            self.bytes = self.file.read_up_to(HostOffset(at), ahead).await.map_err(Error::Storage)?;
            self.start = at;
        }
        let within = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(self.bytes.get(within..within.saturating_add(length)))
    }
}
