//! Combines the entries of an L2 table slice into runs.

use core::cell::Ref;

use super::run::{Mapping, Run};
use super::table_cache::SliceRef;
use crate::error::Corrupt;
use crate::format::copied::is_copied;
use crate::format::l1::L1Entry;
use crate::format::l2::{BadL2Entry, Cluster, L2Entry, L2Rules, SubclusterKind};
use crate::format::units::{GuestOffset, HostOffset, usize_of};

/// The entries of a slice from byte `at` of the slice, which is at host offset `offset`, to its end.
pub(super) struct L2Entries<'a> {
    pub(super) slice: Ref<'a, SliceRef>,
    pub(super) at: usize,
    pub(super) offset: HostOffset,
    pub(super) rules: L2Rules,
}

impl L2Entries<'_> {
    /// Returns the run at `start`, which the first entry maps, of at most `limit` bytes. `l1_entry` points to the table.
    #[inline]
    pub(super) fn run(&self, start: GuestOffset, limit: u64, l1_entry: L1Entry) -> Result<Run, Corrupt> {
        let run = self.first_run(0, start, l1_entry)?;
        if run.length >= limit { Ok(run.cut(limit)) } else { Ok(self.extended(run, start, limit, l1_entry)) }
    }

    /// Extends `run`, which the first entry maps, by the entries that continue it.
    fn extended(&self, mut run: Run, start: GuestOffset, limit: u64, l1_entry: L1Entry) -> Run {
        let cluster_bits = self.rules.geometry.cluster_bits();
        while run.length < limit {
            let next_start = start.plus(run.length);
            let index = usize_of((next_start.0 >> cluster_bits) - (start.0 >> cluster_bits));
            if index >= self.count() {
                run.reaches_slice_end = true;
                break;
            }
            // The run before a corrupt entry is valid. The lookup that continues there reports the error.
            let Ok(next) = self.first_run(index, next_start, l1_entry) else {
                break;
            };
            if !run.try_extend(next) {
                break;
            }
        }
        run.cut(limit)
    }

    /// Returns the number of entries.
    pub(super) fn count(&self) -> usize {
        (self.slice.len() - self.at) / usize_of(self.rules.geometry.l2_entry_size())
    }

    /// Returns the run at `start` within the cluster of entry `index`.
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

    /// Decodes an entry of any kind, for [`Self::first_run`].
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
            // Decoding has checked that data has a host cluster.
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

    /// Returns the host offset of entry `index`.
    fn offset_of(&self, index: usize) -> HostOffset {
        self.offset.plus((self.byte_of(index) - self.at) as u64)
    }

    fn byte_of(&self, index: usize) -> usize {
        // An entry has 8 or 16 bytes, and the index is at most the number of entries in the slice.
        self.at + index * usize_of(self.rules.geometry.l2_entry_size())
    }
}

impl BadL2Entry {
    /// Returns the error for the entry `raw` at host offset `offset`.
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
