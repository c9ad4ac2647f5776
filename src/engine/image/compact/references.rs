//! Finding the references to clusters at the end of the file.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Task;
use crate::error::Error;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry};
use crate::format::l2::{Cluster, L2Entry};
use crate::format::units::{HostOffset, usize_of};
use crate::image::Image;
use crate::image::change::disk::Disk;
use crate::image::snapshot::checked_l1_table;
use crate::storage::StorageMut;

/// The most links that are kept in memory; twice as many while a scan goes on.
const MAX_LINKS: usize = 1 << 16;

/// An L1 or L2 entry that refers to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The host offset that the entry refers to.
    pub(super) host: HostOffset,
    /// The length of a compressed cluster; 0 for any other.
    pub(super) compressed: u64,
    /// The host offset of the entry.
    pub(super) at: HostOffset,
    /// How many references the entry stands for: the number of L1 entries that point to its table.
    pub(super) references: u64,
}

/// The links to the last clusters of the file.
#[derive(Default)]
pub(super) struct Links {
    list: Vec<Link>,
    /// Links to host offsets at or before this one were dropped.
    dropped_to: Option<HostOffset>,
}

/// The L2 tables of the disk and of all snapshots.
pub(super) struct L2Tables {
    /// The [table changes](crate::meta::writeback::Writeback::table_changes) when the scan began.
    pub(super) table_changes: u64,
    /// A link to each table, with the number of L1 entries that point to it.
    tables: Vec<Link>,
    /// The links to tables that were asked for.
    pub(super) links: Links,
}

impl Link {
    /// Returns whether both links refer to the same bytes.
    pub(super) fn has_same_target(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    fn key(&self) -> (HostOffset, u64) {
        (self.host, self.compressed)
    }
}

impl L2Tables {
    /// Makes one link of all links to the same table.
    fn merge_tables(&mut self) {
        sort(&mut self.tables);
        self.tables.dedup_by(|next, first| {
            let is_same = next.has_same_target(first);
            first.references += if is_same { next.references } else { 0 };
            is_same
        });
    }
}

impl Links {
    fn add(&mut self, link: Link) {
        if self.dropped_to.is_some_and(|dropped| link.host <= dropped) {
            return;
        }
        self.list.push(link);
        if self.list.len() >= 2 * MAX_LINKS {
            sort(&mut self.list);
            // A cluster moves only if all links to it are known.
            let dropped = self.list[MAX_LINKS].host;
            self.list.retain(|link| link.host > dropped);
            self.dropped_to = Some(dropped);
        }
    }

    /// Returns the links in the order of what they refer to, and whether some were dropped.
    pub(super) fn into_sorted(mut self) -> (Vec<Link>, bool) {
        sort(&mut self.list);
        (self.list, self.dropped_to.is_some())
    }
}

impl<S: StorageMut> Image<S> {
    /// Finds all L2 tables, and the links to those at or after cluster `from`.
    pub(super) fn l2_tables(&self, from: u64) -> Task<'_, L2Tables, S::Error> {
        Box::pin(self.find_l2_tables(from))
    }

    async fn find_l2_tables(&self, from: u64) -> Result<L2Tables, Error<S::Error>> {
        let disk = Disk::enter(self).await?;
        let geometry = disk.geometry();
        // L1 and L2 entries of the cache may differ from the file, so everything is read by the cache.
        let mut found =
            L2Tables { table_changes: disk.writeback.table_changes(), tables: Vec::new(), links: Links::default() };
        let mut l1_tables = Vec::from([disk.l1]);
        for snapshot in self.snapshots().iter() {
            l1_tables.push(checked_l1_table(snapshot, geometry)?);
        }
        let file_size = disk.file.files.image.size();
        for l1 in l1_tables {
            // After the end of the file, every entry is 0. A table may claim any size.
            let end = l1.offset.plus(l1.entries.saturating_mul(L1_ENTRY_SIZE)).0.min(file_size);
            let slice_size = disk.file.tables.slice_size().bytes();
            for start in (l1.offset.0..end).step_by(slice_size) {
                let slice = disk.file.tables.slice(&disk.file.files.image, HostOffset(start)).await?;
                let length = slice.len().min(usize_of(end - start));
                for at in (0..length).step_by(usize_of(L1_ENTRY_SIZE)) {
                    // A corrupt entry refers to no known table.
                    let Ok(Some(host)) = L1Entry(slice.word(at)).l2_table(geometry) else {
                        continue;
                    };
                    found.tables.push(Link { host, compressed: 0, at: HostOffset(0), references: 1 });
                    if host.0 >> geometry.cluster_bits() >= from {
                        let at = HostOffset(start + at as u64);
                        found.links.add(Link { host, compressed: 0, at, references: 1 });
                    }
                }
            }
            found.merge_tables();
            disk.pause().await;
        }
        Ok(found)
    }

    /// Finds the links of the entries of `tables` to clusters at or after `from`. Returns `None` if a table was moved or
    /// copied meanwhile.
    pub(super) async fn links(&self, tables: &L2Tables, from: u64) -> Result<Option<Links>, Error<S::Error>> {
        let mut links = Links::default();
        for table in &tables.tables {
            let disk = Disk::enter(self).await?;
            if disk.writeback.table_changes() != tables.table_changes {
                return Ok(None);
            }
            self.add_links(&disk, table.host, table.references, from, &mut links).await?;
            disk.pause().await;
        }
        Ok(Some(links))
    }

    async fn add_links(
        &self,
        disk: &Disk<'_, S>,
        table: HostOffset,
        references: u64,
        from: u64,
        links: &mut Links,
    ) -> Result<(), Error<S::Error>> {
        let (tables, geometry) = (&disk.file.tables, disk.geometry());
        for start in (0..geometry.cluster_size()).step_by(tables.slice_size().bytes()) {
            let start = table.plus(start);
            let slice = tables.slice(&disk.file.files.image, start).await?;
            for at in (0..slice.len()).step_by(usize_of(geometry.l2_entry_size())) {
                let bitmap = if geometry.extended_l2() { slice.word(at + 8) } else { 0 };
                let raw = L2Entry { word: slice.word(at), bitmap };
                let target = target_of(raw, disk);
                if let Some((host, compressed, _)) = target.filter(|(_, _, clusters)| clusters.end > from) {
                    links.add(Link { host, compressed, at: start.plus(at as u64), references });
                }
            }
        }
        Ok(())
    }
}

/// Sorts links by what they refer to.
fn sort(links: &mut [Link]) {
    links.sort_unstable_by_key(|link| (link.key(), link.at));
}

/// Returns what an entry refers to: the host offset, the length if it is a compressed cluster, otherwise 0, and the host
/// clusters. Returns `None` if it refers to none, or is corrupt.
pub(super) fn target_of<S: StorageMut>(
    entry: L2Entry,
    disk: &Disk<'_, S>,
) -> Option<(HostOffset, u64, core::ops::Range<u64>)> {
    let rules = disk.file.tables.rules();
    let meaning = entry.decode(rules).ok()?;
    let clusters = meaning.counted(rules);
    match meaning {
        _ if clusters.is_empty() => None,
        Cluster::Compressed(span) => Some((span.start, span.length, clusters)),
        Cluster::Subclusters(subclusters) => Some((subclusters.host?, 0, clusters)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_that_are_kept_are_all_those_of_the_last_clusters() {
        let mut links = Links::default();
        // Three links to each cluster, in no order.
        let count = 3 * MAX_LINKS as u64;
        for number in 0..count {
            let shuffled = number * 7919 % count;
            links.add(Link { host: HostOffset(shuffled / 3), compressed: 0, at: HostOffset(shuffled), references: 1 });
        }
        let (kept, dropped) = links.into_sorted();
        let first = kept[0].host.0;
        assert!(dropped && kept.len() >= MAX_LINKS / 2);
        let expected: Vec<u64> = (3 * first..count).collect();
        assert_eq!(kept.iter().map(|link| link.at.0).collect::<Vec<_>>(), expected);
    }
}
