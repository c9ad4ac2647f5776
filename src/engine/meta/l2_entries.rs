//! The entries of a slice of an L2 table, in runs.

use super::mapping::{Mapping, Run};
use super::table_cache::Slice;
use crate::error::Corrupt;
use crate::format::l2::{BadL2Entry, Cluster, L2Entry, L2Rules, SubclusterKind};
use crate::format::units::{GuestOffset, HostOffset};

/// The entries of a slice from the one at byte `at` on, which is at `offset` in the file.
pub(super) struct L2Entries<'a> {
    pub(super) slice: &'a Slice,
    pub(super) at: usize,
    pub(super) offset: HostOffset,
    pub(super) rules: L2Rules,
}

impl L2Entries<'_> {
    pub(super) fn run(&self, start: GuestOffset, limit: u64) -> Result<Run, Corrupt> {
        let geometry = self.rules.geometry;
        let mut run = self.first_run(0, start)?;
        run.length = run.length.min(limit);
        while run.length < limit {
            let next_start = start.plus(run.length);
            let index = usize_of((next_start.0 >> geometry.cluster_bits()) - (start.0 >> geometry.cluster_bits()));
            if self.byte_of(index) >= self.slice.len() {
                break;
            }
            // What is before a damaged entry is fine; whoever goes on from there meets it again.
            let Ok(mut next) = self.first_run(index, next_start) else {
                break;
            };
            next.length = next.length.min(limit - run.length);
            if !run.try_extend(next) {
                break;
            }
        }
        Ok(run)
    }

    #[inline]
    pub(super) fn owned_run(&self, start: GuestOffset, limit: u64) -> Result<(u64, HostOffset), Corrupt> {
        let cluster_bits = self.rules.geometry.cluster_bits();
        let Some((mut length, place)) = self.first_owned_run(0, start)? else {
            return Ok((0, HostOffset(0)));
        };
        while length < limit {
            let next_start = start.plus(length);
            let index = usize_of((next_start.0 >> cluster_bits) - (start.0 >> cluster_bits));
            if self.byte_of(index) >= self.slice.len() {
                break;
            }
            match self.first_owned_run(index, next_start)? {
                Some((more, next)) if next == place.plus(length) => length += more,
                _ => break,
            }
        }
        Ok((length.min(limit), place))
    }

    /// As [`Self::first_run`], of bytes that can be written in place: how many, and where.
    #[inline]
    fn first_owned_run(&self, index: usize, start: GuestOffset) -> Result<Option<(u64, HostOffset)>, Corrupt> {
        if !self.entry(index).is_owned() {
            return Ok(None);
        }
        match self.first_run(index, start)? {
            Run { length, mapping: Mapping::Data(place) } => Ok(Some((length, place))),
            _ => Ok(None),
        }
    }

    /// The run at `start`, within the cluster of entry `index`.
    #[inline]
    fn first_run(&self, index: usize, start: GuestOffset) -> Result<Run, Corrupt> {
        let geometry = self.rules.geometry;
        let within = geometry.offset_in_cluster(start);
        match self.entry(index).plain_place(self.rules) {
            Some(place) => {
                Ok(Run { length: geometry.cluster_size() - within, mapping: Mapping::Data(place.plus(within)) })
            }
            None => self.first_run_of_any(index, start),
        }
    }

    /// As [`Self::first_run`], of an entry of any kind.
    fn first_run_of_any(&self, index: usize, start: GuestOffset) -> Result<Run, Corrupt> {
        let geometry = self.rules.geometry;
        let within = geometry.offset_in_cluster(start);
        let cluster = self.entry(index).decode(self.rules).map_err(|bad| self.corrupt(index, bad))?;
        let subclusters = match cluster {
            Cluster::Compressed(span) => {
                return Ok(Run { length: geometry.cluster_size() - within, mapping: Mapping::Compressed(span) });
            }
            Cluster::Subclusters(subclusters) => subclusters,
        };
        let guest_cluster = start.0 - within;
        if let Some(host) = subclusters.host.filter(|host| self.rules.data_file && host.0 != guest_cluster) {
            let entry_offset = self.place_of(index).0;
            return Err(Corrupt::MovedInDataFile { entry_offset, cluster: host.0 });
        }
        let first = geometry.subcluster_index(start);
        let (kind, count) = subclusters.run_at(first, geometry.subclusters());
        let end = u64::from(first + count) << geometry.subcluster_bits();
        let place = subclusters.host.map(|host| host.plus(within));
        let mapping = match (kind, place) {
            (SubclusterKind::Zero, _) => Mapping::Zero(place),
            (SubclusterKind::Data, Some(place)) => Mapping::Data(place),
            // Nothing is allocated without a host cluster: decoding saw to it.
            (SubclusterKind::Unallocated, _) | (SubclusterKind::Data, None) => Mapping::Unallocated(place),
        };
        Ok(Run { length: end - within, mapping })
    }

    pub(super) fn entry(&self, index: usize) -> L2Entry {
        let at = self.byte_of(index);
        let bitmap = if self.rules.geometry.extended_l2() { self.slice.word(at + 8) } else { 0 };
        L2Entry { word: self.slice.word(at), bitmap }
    }

    fn corrupt(&self, index: usize, bad: BadL2Entry) -> Corrupt {
        let entry_offset = self.place_of(index).0;
        match bad {
            BadL2Entry::Unaligned(cluster) => Corrupt::ClusterUnaligned { entry_offset, cluster },
            BadL2Entry::ZeroInVersion2 => Corrupt::ZeroInVersion2 { entry_offset },
            BadL2Entry::Subclusters => Corrupt::Subclusters { entry_offset, bitmap: self.entry(index).bitmap },
            BadL2Entry::CompressedWithDataFile => Corrupt::CompressedWithDataFile { entry_offset },
        }
    }

    /// Where entry `index` is in the file.
    fn place_of(&self, index: usize) -> HostOffset {
        self.offset.plus((self.byte_of(index) - self.at) as u64)
    }

    fn byte_of(&self, index: usize) -> usize {
        // An entry is 8 or 16 bytes, and the index is that of an entry in the slice, or of the first one behind it.
        self.at + index * usize_of(self.rules.geometry.l2_entry_size())
    }
}

/// Of a number that is known to be small.
fn usize_of(small: u64) -> usize {
    usize::try_from(small).unwrap_or(usize::MAX)
}
