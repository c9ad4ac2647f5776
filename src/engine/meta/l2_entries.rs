//! The entries of a slice of an L2 table, in runs.

use super::run::{Mapping, Run};
use super::table_cache::SliceRef;
use crate::error::Corrupt;
use crate::format::copied::is_copied;
use crate::format::l1::L1Entry;
use crate::format::l2::{BadL2Entry, Cluster, L2Entry, L2Rules, SubclusterKind};
use crate::format::units::{GuestOffset, HostOffset, usize_of};

/// The entries of a slice from the one at byte `at` on, which is at `offset` in the file.
pub(super) struct L2Entries {
    pub(super) slice: SliceRef,
    pub(super) at: usize,
    pub(super) offset: HostOffset,
    pub(super) rules: L2Rules,
}

impl L2Entries {
    /// The run at `start`, which the first entry maps, of at most `limit` bytes. `l1_entry` points to the table.
    #[inline]
    pub(super) fn run(&self, start: GuestOffset, limit: u64, l1_entry: L1Entry) -> Result<Run, Corrupt> {
        let run = self.first_run(0, start, l1_entry)?;
        if run.length >= limit { Ok(run.cut(limit)) } else { Ok(self.extended(run, start, limit, l1_entry)) }
    }

    /// `run`, which the first entry maps, with what continues it in the entries behind.
    fn extended(&self, mut run: Run, start: GuestOffset, limit: u64, l1_entry: L1Entry) -> Run {
        let cluster_bits = self.rules.geometry.cluster_bits();
        while run.length < limit {
            let next_start = start.plus(run.length);
            let index = usize_of((next_start.0 >> cluster_bits) - (start.0 >> cluster_bits));
            if index >= self.count() {
                run.reaches_slice_end = true;
                break;
            }
            // What is before a damaged entry is fine; whoever continues there meets it again.
            let Ok(next) = self.first_run(index, next_start, l1_entry) else {
                break;
            };
            if !run.try_extend(next) {
                break;
            }
        }
        run.cut(limit)
    }

    /// How many entries there are.
    pub(super) fn count(&self) -> usize {
        (self.slice.len() - self.at) / usize_of(self.rules.geometry.l2_entry_size())
    }

    /// The run at `start`, within the cluster of entry `index`.
    #[inline]
    fn first_run(&self, index: usize, start: GuestOffset, l1_entry: L1Entry) -> Result<Run, Corrupt> {
        let geometry = self.rules.geometry;
        let within = geometry.offset_in_cluster(start);
        let entry = self.entry(index);
        let (length, mapping) = match entry.plain_host(self.rules) {
            Some(host) => (geometry.cluster_size() - within, Mapping::Data(host.plus(within))),
            None if entry.is_empty() => (geometry.cluster_size() - within, Mapping::Unallocated(None)),
            None => self.first_run_of_any(index, start)?,
        };
        let copied = if is_copied(l1_entry, entry) { length } else { 0 };
        Ok(Run {
            length,
            mapping,
            copied,
            reaches_slice_end: false,
            l2_table_copied: l1_entry.is_copied(),
            l2_entry: Some((self.offset_of(index), entry)),
        })
    }

    /// As [`Self::first_run`], of an entry of any kind.
    fn first_run_of_any(&self, index: usize, start: GuestOffset) -> Result<(u64, Mapping), Corrupt> {
        let geometry = self.rules.geometry;
        let within = geometry.offset_in_cluster(start);
        let cluster = self.entry(index).decode(self.rules).map_err(|bad| self.corrupt(index, bad))?;
        let subclusters = match cluster {
            Cluster::Compressed(span) => {
                return Ok((geometry.cluster_size() - within, Mapping::Compressed(span)));
            }
            Cluster::Subclusters(subclusters) => subclusters,
        };
        let guest_cluster = start.0 - within;
        if let Some(host) = subclusters.host.filter(|host| self.rules.data_file && host.0 != guest_cluster) {
            let entry_offset = self.offset_of(index).0;
            return Err(Corrupt::MovedInDataFile { entry_offset, cluster: host.0 });
        }
        let first = geometry.subcluster_index(start);
        let (kind, count) = subclusters.run_at(first, geometry.subclusters());
        let end = u64::from(first + count) << geometry.subcluster_bits();
        let host = subclusters.host.map(|host| host.plus(within));
        let mapping = match (kind, host) {
            (SubclusterKind::Zero, _) => Mapping::Zero(host),
            (SubclusterKind::Data, Some(host)) => Mapping::Data(host),
            // Nothing is allocated without a host cluster: decoding saw to it.
            (SubclusterKind::Unallocated, _) | (SubclusterKind::Data, None) => Mapping::Unallocated(host),
        };
        Ok((end - within, mapping))
    }

    pub(super) fn entry(&self, index: usize) -> L2Entry {
        let at = self.byte_of(index);
        let bitmap = if self.rules.geometry.extended_l2() { self.slice.word(at + 8) } else { 0 };
        L2Entry { word: self.slice.word(at), bitmap }
    }

    fn corrupt(&self, index: usize, bad: BadL2Entry) -> Corrupt {
        bad.at(self.offset_of(index), self.entry(index))
    }

    /// The host offset of entry `index`.
    fn offset_of(&self, index: usize) -> HostOffset {
        self.offset.plus((self.byte_of(index) - self.at) as u64)
    }

    fn byte_of(&self, index: usize) -> usize {
        // An entry is 8 or 16 bytes, and the index is that of an entry in the slice, or of the first one behind it.
        self.at + index * usize_of(self.rules.geometry.l2_entry_size())
    }
}

impl BadL2Entry {
    /// The error for the entry `raw` at host offset `offset`.
    pub(crate) fn at(self, offset: HostOffset, raw: L2Entry) -> Corrupt {
        let entry_offset = offset.0;
        match self {
            Self::Unaligned(cluster) => Corrupt::ClusterUnaligned { entry_offset, cluster },
            Self::ZeroInVersion2 => Corrupt::ZeroInVersion2 { entry_offset },
            Self::Subclusters => Corrupt::Subclusters { entry_offset, bitmap: raw.bitmap },
            Self::CompressedWithDataFile => Corrupt::CompressedWithDataFile { entry_offset },
        }
    }
}
