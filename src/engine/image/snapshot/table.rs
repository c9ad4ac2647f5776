//! Reading and replacing the snapshot table.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{Corrupt, Error, HeaderTable, Misuse};
use crate::format::geometry::Geometry;
use crate::format::header::RawHeader;
use crate::format::snapshot::{ALIGNMENT, EntryLayout, FIXED_BYTES, MAX_SNAPSHOTS, MAX_TABLE_BYTES, Snapshot};
use crate::format::units::HostOffset;
use crate::image::layer::Qcow2File;
use crate::image::write::rewrite_tables::Rewrite;
use crate::meta::host_file::HostFile;
use crate::storage::{Storage, StorageMut};

/// How many bytes of the table one request reads.
const READ_AHEAD: u64 = 64 << 10;

/// Reads the snapshots of `image` from its table, up to the first corrupt entry. Makes no request if there are no
/// snapshots, and a single one for most tables.
pub(crate) async fn read_snapshot_table<S: Storage>(image: &Qcow2File<S>) -> Result<(), Error<S::Error>> {
    let header = image.header();
    let mut snapshots = Vec::new();
    let result = match SnapshotTable::of(header.raw()) {
        table if table.is_possible(header.geometry()) => {
            table.read_entries(&image.files.image, |snapshot, _| snapshots.push(snapshot)).await.map(drop)
        }
        // The header's own check has reported it.
        _ => Ok(()),
    };
    image.snapshots.replace(snapshots.into());
    image.damage.borrow_mut().snapshots = match result {
        Ok(()) => None,
        Err(Error::Corrupt(corrupt)) => Some(corrupt),
        Err(error) => return Err(error),
    };
    Ok(())
}

/// The position of the snapshot table; the header does not record its size.
pub(crate) struct SnapshotTable {
    start: u64,
    count: u32,
}

impl SnapshotTable {
    pub(crate) fn of(header: &RawHeader) -> Self {
        Self { start: header.snapshots_offset, count: header.nb_snapshots }
    }

    /// Whether the offset and the count are valid.
    pub(crate) fn is_possible(&self, geometry: Geometry) -> bool {
        geometry.is_cluster_aligned(self.start) && i64::try_from(self.start).is_ok() && self.count <= MAX_SNAPSHOTS
    }

    /// Returns the snapshots and the length of the table in bytes.
    pub(crate) async fn read<S: Storage>(self, file: &HostFile<S>) -> Result<(Vec<Snapshot>, u64), Error<S::Error>> {
        let mut snapshots = Vec::new();
        let length = self.read_entries(file, |snapshot, _| snapshots.push(snapshot)).await?;
        Ok((snapshots, length))
    }

    /// Calls `each` with every snapshot and its stored entry. Returns the length of the table in bytes.
    pub(in crate::image) async fn read_entries<S: Storage>(
        self,
        file: &HostFile<S>,
        mut each: impl FnMut(Snapshot, &[u8]),
    ) -> Result<u64, Error<S::Error>> {
        let mut window = Window { file, start: self.start, bytes: Vec::new() };
        let mut at = self.start;
        for index in 0..self.count {
            let truncated = Corrupt::SnapshotTruncated { index, offset: at };
            let fixed = window.bytes(at, FIXED_BYTES).await?.ok_or(truncated)?;
            let layout = EntryLayout::parse(fixed, index, at)?;
            let entry = window.bytes(at, layout.length()).await?.ok_or(truncated)?;
            each(layout.read(entry).ok_or(truncated)?, entry);
            at = (at + layout.length()).next_multiple_of(ALIGNMENT);
            if at - self.start > MAX_TABLE_BYTES {
                return Err(Corrupt::TableTooLarge { table: HeaderTable::Snapshots, count: self.count.into() }.into());
            }
        }
        Ok(at - self.start)
    }
}

/// A window that moves forward through the file, read in large requests.
struct Window<'a, S> {
    file: &'a HostFile<S>,
    start: u64,
    bytes: Vec<u8>,
}

impl<S: Storage> Window<'_, S> {
    /// Returns the `length` bytes at `at`, which is not before the window. Returns `None` if the file ends within them.
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

/// The table of an open image that is to be replaced. Entries that stay keep their stored bytes, including unknown
/// data.
pub(in crate::image) struct Entries {
    pub(in crate::image) list: Vec<(Snapshot, Vec<u8>)>,
    /// The length of the table in bytes.
    length: u64,
}

impl Entries {
    pub(in crate::image) async fn read<S: Storage>(image: &Qcow2File<S>) -> Result<Self, Error<S::Error>> {
        let mut list = Vec::new();
        let table = SnapshotTable::of(image.header().raw());
        let length =
            table.read_entries(&image.files.image, |snapshot, entry| list.push((snapshot, entry.to_vec()))).await?;
        Ok(Self { list, length })
    }

    /// Returns an unused id: one more than the largest numeric id, as in QEMU. After 2^64 - 1 it is the first unused
    /// number from 0.
    pub(in crate::image) fn new_id(&self) -> u64 {
        let mut numbers = BTreeSet::new();
        numbers.extend(self.list.iter().filter_map(|(snapshot, _)| snapshot.id.parse::<u64>().ok()));
        let mut id = numbers.last().map_or(1, |largest| largest.wrapping_add(1));
        while numbers.contains(&id) {
            id = id.wrapping_add(1);
        }
        id
    }

    /// The clusters of the table that was read, which is at `offset`.
    pub(in crate::image) fn clusters(&self, offset: HostOffset, geometry: Geometry) -> Range<u64> {
        let start = offset.0 >> geometry.cluster_bits();
        start..start + self.length.div_ceil(geometry.cluster_size())
    }

    /// Replaces the table that was read with these entries.
    pub(in crate::image) async fn replace<S: StorageMut>(
        &self,
        rewrite: &mut Rewrite<'_, S>,
    ) -> Result<(), Error<S::Error>> {
        let mut bytes = Vec::new();
        for (_, entry) in &self.list {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes.extend_from_slice(entry);
        }
        let count = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        if count > MAX_SNAPSHOTS || bytes.len() as u64 > MAX_TABLE_BYTES {
            return Err(Misuse::TooManySnapshots.into());
        }
        let old = self.clusters(rewrite.new.table_pointers().snapshots, rewrite.geometry());
        rewrite.new.unregister_table(old.clone());
        rewrite.new.remove_references(old).await?;
        let length = bytes.len() as u64;
        let offset = if bytes.is_empty() { HostOffset(0) } else { rewrite.new.write_new(bytes).await? };
        let first = offset.0 >> rewrite.geometry().cluster_bits();
        rewrite.new.register_table(first..first + length.div_ceil(rewrite.geometry().cluster_size()));
        let pointers = rewrite.new.table_pointers();
        (pointers.snapshots, pointers.nb_snapshots) = (offset, count);
        Ok(())
    }

    /// Returns the snapshots, after the table has been replaced.
    pub(in crate::image) fn into_snapshots(self) -> Vec<Snapshot> {
        self.list.into_iter().map(|(snapshot, _)| snapshot).collect()
    }
}
