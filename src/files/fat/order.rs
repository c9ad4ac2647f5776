//! The order in which the changed blocks of a volume are written.

use std::collections::BTreeMap;

use hadris_fat::{FatKind, Geometry};

use super::overlay::{BLOCK, Overlay};
use crate::error::{Code, Result};
use crate::source::Device;

/// The number of the first cluster.
const FIRST_CLUSTER: u64 = 2;

type Writes = Vec<(u64, Vec<u8>)>;

/// Sorts the changed blocks into steps. `deletes` says whether the change removes a name.
pub(super) fn steps(overlay: &Overlay, geometry: &Geometry, deletes: bool) -> Result<Vec<Writes>> {
    let table = Table { before: overlay.before(), geometry };
    let (mut tables, mut new, mut directories, mut rest) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
    let table_end = geometry.fat_copy(geometry.fat_count().saturating_sub(1)) + geometry.fat_size();
    for (number, bytes) in overlay.changed()? {
        let at = number * BLOCK;
        if at < geometry.fat_start() {
            rest.push((at, bytes));
        } else if at < table_end {
            tables.insert(at, bytes);
        } else if at >= geometry.data_start() && table.was_free(at)? {
            new.push((at, bytes));
        } else {
            directories.push((at, bytes));
        }
    }
    // The entry of a file follows the parts of its long name. It appears last and disappears first.
    if deletes {
        directories.reverse();
    }
    let linked = table.links_only(overlay, &tables)?;
    let freed: Writes = tables.into_iter().filter(|(at, bytes)| linked.get(at) != Some(bytes)).chain(rest).collect();
    let steps = [joined(new), joined(linked.into_iter().collect()), directories, joined(freed)];
    Ok(steps.into_iter().collect())
}

/// The table of clusters as it is on the disk.
struct Table<'a> {
    before: &'a dyn Device,
    geometry: &'a Geometry,
}

impl Table<'_> {
    /// Whether the cluster at an offset of the volume is free on the disk.
    fn was_free(&self, at: u64) -> Result<bool> {
        let kind = self.geometry.kind();
        let cluster = (at - self.geometry.data_start()) / u64::from(self.geometry.cluster_size()) + FIRST_CLUSTER;
        let mut entry = vec![0; kind.entry_len()];
        let offset = self.geometry.fat_copy(self.geometry.active_fat()) + kind.entry_offset(cluster);
        self.before.read_at(offset, &mut entry).map_err(|failed| Code::Damaged.error(failed.to_string()))?;
        Ok(kind.decode(cluster, &entry) & kind.mask() == 0)
    }

    /// The changed blocks of the tables, but only with what is linked: nothing that is in use becomes free, and no chain
    /// is cut.
    fn links_only(&self, overlay: &Overlay, changed: &BTreeMap<u64, Vec<u8>>) -> Result<BTreeMap<u64, Vec<u8>>> {
        let kind = self.geometry.kind();
        let mut linked = BTreeMap::new();
        for copy in 0..self.geometry.fat_count() {
            let start = self.geometry.fat_copy(copy);
            let end = start + self.geometry.fat_size();
            let blocks = changed.range(start..end).map(|(at, _)| (*at, BLOCK));
            // Entries of 12 bits may cross blocks; such a table is small, and changes as a whole.
            let ranges: Vec<(u64, u64)> = if kind == FatKind::Fat12 {
                blocks.take(1).map(|_| (start, self.geometry.fat_size())).collect()
            } else {
                blocks.collect()
            };
            for (at, length) in ranges {
                self.link_range(overlay, start, (at, length), &mut linked)?;
            }
        }
        Ok(linked)
    }

    fn link_range(
        &self,
        overlay: &Overlay,
        start: u64,
        (at, length): (u64, u64),
        linked: &mut BTreeMap<u64, Vec<u8>>,
    ) -> Result<()> {
        let kind = self.geometry.kind();
        let failed = |failed: crate::source::ReadFailed| Code::Damaged.error(failed.to_string());
        let length = usize::try_from(length).map_err(|_| Code::Damaged.error("the table of clusters is too large"))?;
        let (mut before, mut after) = (vec![0; length], vec![0; length]);
        self.before.read_at(at, &mut before).map_err(failed)?;
        overlay.read(at, &mut after).map_err(failed)?;
        let mut only = before.clone();
        let first = ((at - start) * 8 / kind.entry_bits()).max(FIRST_CLUSTER);
        for cluster in first..=u64::from(self.geometry.max_cluster()) {
            let Ok(within) = usize::try_from(kind.entry_offset(cluster).saturating_sub(at - start)) else { break };
            if within + kind.entry_len() > length {
                break;
            }
            let [old, new] = [&before, &after].map(|bytes| kind.decode(cluster, &bytes[within..]) & kind.mask());
            if old == 0 || kind.is_end_of_chain(old) && new != 0 {
                kind.encode(cluster, new, &mut only[within..]);
            }
        }
        for (number, (block, old)) in (0..).zip(only.chunks(512).zip(before.chunks(512))) {
            if block != old {
                linked.insert(at + number * BLOCK, block.to_vec());
            }
        }
        Ok(())
    }
}

/// Joins blocks that follow each other, so that there are few writes.
fn joined(blocks: Writes) -> Writes {
    let mut writes: Writes = Vec::new();
    for (at, bytes) in blocks {
        match writes.last_mut() {
            Some((start, before)) if *start + before.len() as u64 == at => before.extend(bytes),
            _ => writes.push((at, bytes)),
        }
    }
    writes
}
