//! The L2 entries that a change reads and sets.

use alloc::vec::Vec;
use core::ops::Range;

use super::disk::Disk;
use crate::error::Error;
use crate::format::geometry::Geometry;
use crate::format::l2::{Cluster, L2Entry};
use crate::format::units::{GuestOffset, HostOffset};
use crate::meta::attempt::Attempt;
use crate::meta::run::Run;
use crate::storage::Storage;

/// The L2 entry of a guest cluster, in a table that may be changed in place.
#[derive(Clone, Copy, Debug)]
pub(in crate::image) struct Entry {
    /// The host offset of the entry.
    pub(in crate::image) offset: HostOffset,
    pub(in crate::image) raw: L2Entry,
    pub(in crate::image) meaning: Cluster,
    /// The COPIED flag: the cluster may be written in place.
    pub(in crate::image) copied: bool,
}

/// The entries of consecutive guest clusters. A single entry needs no heap allocation.
pub(in crate::image) enum Entries {
    One([Entry; 1]),
    Many(Vec<Entry>),
}

impl<S: Storage> Disk<'_, S> {
    /// Returns the entries of `clusters`, as many as are in cached tables that may be changed in place. `run` begins in
    /// the first cluster. Returns `None` if the first entry is not in such a table.
    pub(in crate::image) fn entries(&self, run: &Run, clusters: Range<u64>) -> Attempt<Option<Entries>> {
        let Some((offset, raw)) = run.l2_entry.filter(|_| run.l2_table_copied) else {
            return Ok(None);
        };
        // Each call reads at most one slice.
        let count = usize::try_from(clusters.end - clusters.start).unwrap_or(usize::MAX);
        if count == 1 {
            return Ok(Some(Entries::One([self.decode(offset, raw)?])));
        }
        let mut entries = Vec::new();
        self.append_entries(&mut entries, offset, count)?;
        while entries.len() < count {
            let next = self.guest_offset(clusters.start + entries.len() as u64);
            let Ok(Run { l2_entry: Some((offset, _)), l2_table_copied: true, .. }) = self.resolve(next, 1) else {
                break;
            };
            if self.append_entries(&mut entries, offset, count).is_err() {
                break;
            }
        }
        Ok(Some(Entries::Many(entries)))
    }

    /// Appends the entries from `offset` to the end of their slice, until there are `count`.
    fn append_entries(&self, entries: &mut Vec<Entry>, offset: HostOffset, count: usize) -> Attempt<()> {
        let raw = self.file.tables.l2_entries(self.file.files.image.id(), offset, count - entries.len())?;
        let size = self.geometry().l2_entry_size();
        for (raw, index) in raw.into_iter().zip(0..) {
            entries.push(self.decode(offset.plus(index * size), raw)?);
        }
        Ok(())
    }

    fn decode(&self, offset: HostOffset, raw: L2Entry) -> Attempt<Entry> {
        let meaning = raw.decode(self.file.tables.rules()).map_err(|bad| bad.at(offset, raw))?;
        // The table is COPIED, so the entry decides: see `format::copied`.
        Ok(Entry { offset, raw, meaning, copied: raw.is_copied() })
    }

    /// Sets the entry at host offset `offset`, loading its table if it was evicted. The caller holds the metadata lock.
    pub(in crate::image) async fn set_entry(&self, offset: HostOffset, entry: L2Entry) -> Result<(), Error<S::Error>> {
        let (image, tables) = (&self.file.files.image, &self.file.tables);
        let set = || self.writeback.set_l2_entry(image.id(), offset, entry);
        tables.cache().complete(image, tables.slice_size(), set).await
    }

    /// Frees the host clusters that `entry` refers to.
    pub(in crate::image) fn free_cluster(&self, entry: &Entry) {
        self.writeback.free(entry.meaning.counted(self.file.tables.rules()));
    }
}

impl Entries {
    pub(in crate::image) fn first(&self) -> Entry {
        match self {
            Self::One([entry]) => *entry,
            // There is at least one entry, because a slice is never empty.
            Self::Many(entries) => entries[0],
        }
    }

    pub(in crate::image) fn as_slice(&self) -> &[Entry] {
        match self {
            Self::One(entry) => entry,
            Self::Many(entries) => entries,
        }
    }

    /// Keeps the first `count` entries, at least one.
    pub(super) fn truncate(&mut self, count: u64) {
        if let Self::Many(entries) = self {
            entries.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }
}

impl Entry {
    /// The host cluster, whether or not it holds data.
    pub(in crate::image) fn host(&self) -> Option<HostOffset> {
        match self.meaning {
            Cluster::Compressed(span) => Some(span.start),
            Cluster::Subclusters(subclusters) => subclusters.host,
        }
    }

    /// The host cluster, if it may be written in place.
    pub(super) fn copied_host(&self) -> Option<HostOffset> {
        match self.meaning {
            Cluster::Subclusters(subclusters) if self.copied => subclusters.host,
            _ => None,
        }
    }

    pub(super) fn is_allocated_at(&self, geometry: Geometry, guest: GuestOffset) -> bool {
        match self.meaning {
            Cluster::Subclusters(subclusters) => subclusters.allocated >> geometry.subcluster_index(guest) & 1 != 0,
            Cluster::Compressed(_) => true,
        }
    }

    /// Whether no subcluster is allocated.
    pub(super) fn is_unallocated(&self) -> bool {
        matches!(self.meaning, Cluster::Subclusters(subclusters) if subclusters.allocated == 0)
    }
}
