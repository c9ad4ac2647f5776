//! Writing the disk.

pub(crate) mod change;
pub(crate) mod compressed;
pub(crate) mod discard;
pub(crate) mod fast_path;
pub(crate) mod flush;
pub(crate) mod preallocate;
pub(crate) mod precompressed;
pub(crate) mod rewrite_tables;

use alloc::boxed::Box;
use alloc::vec;

use super::Image;
use super::read::{check_bounds, read_layers};
use crate::error::Error;
use crate::format::geometry::Geometry;
use crate::format::l2::{Cluster, L2Entry};
use crate::format::units::{GuestOffset, HostOffset};
use crate::image::write::change::{Disk, Entry};
use crate::image::write::fast_path::InPlace;
use crate::meta::reservation::Reservation;
use crate::storage::StorageMut;

/// How much is allocated at once, at most.
const MAX_CHANGE: u64 = 4 << 20;

impl<S: StorageMut> Image<S> {
    /// Writes `buf` at `offset` of the disk, all of it or an error. Durable after a [`flush`](Self::flush).
    ///
    /// Where the disk has a cluster of its own, it is written in place. Elsewhere clusters are allocated, and what they
    /// hold around `buf` is copied from what showed there before.
    ///
    /// After an error, and when the future is dropped, each byte is either as before or as written.
    pub async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Error<S::Error>> {
        let length = buf.len() as u64;
        if let Some(InPlace { disk, place, request: _request }) = self.decide_in_place(offset, length) {
            return disk.writeback.remember(disk.file.files.data().write(place, buf).await);
        }
        if let Some(new) = self.decide_new_cluster(offset, length) {
            return new.write(buf).await;
        }
        // On the heap, for it is large, and a write's future is moved about.
        Box::pin(self.write_with_tables(offset, buf)).await
    }

    /// As [`Image::write_at`], with everything that it may take.
    async fn write_with_tables(&self, offset: u64, buf: &[u8]) -> Result<(), Error<S::Error>> {
        let disk = Disk::enter(self).await?;
        check_bounds(offset, buf.len(), self.size())?;
        let result = self.write_parts(&disk, GuestOffset(offset), buf).await;
        disk.conclude(result).await
    }

    pub(super) async fn write_parts(
        &self,
        disk: &Disk<'_, S>,
        mut start: GuestOffset,
        mut rest: &[u8],
    ) -> Result<(), Error<S::Error>> {
        // An encrypted sector is written whole.
        let _sectors = match &disk.file.encrypted {
            Some(encrypted) => Some(encrypted.hold(start, rest.len() as u64).await),
            None => None,
        };
        while !rest.is_empty() {
            let mut written = self.write_in_place(disk, start, rest).await?;
            if written == 0 {
                written = self.write_allocating(disk, start, rest).await?;
            }
            start = start.plus(written as u64);
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes as much of `buf` as can be written in place by one request; how much that was.
    async fn write_in_place(
        &self,
        disk: &Disk<'_, S>,
        start: GuestOffset,
        buf: &[u8],
    ) -> Result<usize, Error<S::Error>> {
        let _request = disk.writeback.requests.begin();
        let files = &disk.file.files;
        let (length, place) = disk.file.tables.owned_run_at(&files.image, disk.l1, start, buf.len() as u64).await?;
        let (buf, _) = buf.split_at(usize_of(length));
        if !buf.is_empty() {
            disk.check_place(place, length)?;
            disk.write_data(start, place, buf).await?;
        }
        Ok(buf.len())
    }

    /// Writes the beginning of `buf` into clusters, or subclusters, that have to be allocated; how much that was.
    ///
    /// 0 where another request has made it unnecessary meanwhile.
    async fn write_allocating(
        &self,
        disk: &Disk<'_, S>,
        start: GuestOffset,
        buf: &[u8],
    ) -> Result<usize, Error<S::Error>> {
        let clusters = disk.clusters(start, (buf.len() as u64).min(MAX_CHANGE));
        let _held = disk.writeback.in_flight.hold(clusters).await;
        self.write_held(disk, start, buf).await
    }

    /// As [`Self::write_allocating`], where the caller holds the clusters.
    pub(super) async fn write_held(
        &self,
        disk: &Disk<'_, S>,
        start: GuestOffset,
        buf: &[u8],
    ) -> Result<usize, Error<S::Error>> {
        let clusters = disk.clusters(start, (buf.len() as u64).min(MAX_CHANGE));
        let request = disk.writeback.requests.begin();
        let mut entries = disk.entries(clusters.clone()).await?;
        let geometry = disk.geometry();
        let (count, place, reservation) = match Plan::new(geometry, &entries, start) {
            Plan::InPlace => return Ok(0),
            Plan::Own(count, place) => {
                disk.check_place(place, count << geometry.cluster_bits())?;
                (count, place, None)
            }
            Plan::New(wanted) => {
                let (reservation, count) = disk.reserve(clusters.start, wanted).await?;
                (count, reservation.start(), Some(reservation))
            }
        };
        entries.truncate(usize_of(count));
        let fill = Fill::new(geometry, &entries, start, buf.len() as u64);
        let (buf, _) = buf.split_at(usize_of(fill.data_end.0 - start.0));
        self.fill(disk, &fill, place, buf).await?;
        drop(request);
        self.link(disk, &fill, place, &entries, reservation).await?;
        Ok(buf.len())
    }

    /// Writes `buf`, and what has to be around it, to the clusters at `place`.
    async fn fill(
        &self,
        disk: &Disk<'_, S>,
        fill: &Fill,
        place: HostOffset,
        buf: &[u8],
    ) -> Result<(), Error<S::Error>> {
        let data = disk.file.files.data();
        let place_of = |guest: GuestOffset| place.plus(guest.0 - fill.clusters_start.0);
        let head = usize_of(fill.data_start.0 - fill.start.0);
        let tail = usize_of(fill.end.0 - fill.data_end.0);
        let nothing_around = head == 0 && tail == 0;
        // Past the end of the file there are zeros already, unless they would be decrypted.
        let fresh = place.0 >= data.untouched() && disk.file.encrypted.is_none();
        if nothing_around || (fresh && self.is_zero_around(fill, head, tail).await?) {
            return disk.write_data(fill.data_start, place_of(fill.data_start), buf).await;
        }
        let mut whole = vec![0; head + buf.len() + tail];
        self.read_old(fill.start, &mut whole[..head]).await?;
        whole[head..head + buf.len()].copy_from_slice(buf);
        self.read_old(fill.data_end, &mut whole[head + buf.len()..]).await?;
        disk.write_data(fill.start, place_of(fill.start), &whole).await
    }

    /// Whether what completes the clusters is known to be zeros.
    async fn is_zero_around(&self, fill: &Fill, head: usize, tail: usize) -> Result<bool, Error<S::Error>> {
        let is_last_layer = self.layers.len() == 1;
        if fill.holds_nothing && is_last_layer {
            return Ok(true);
        }
        Ok(self.is_zero(fill.start, head).await? && self.is_zero(fill.data_end, tail).await?)
    }

    /// Reads what shows at `start`; past the end of the disk there are zeros.
    pub(super) async fn read_old(&self, start: GuestOffset, buf: &mut [u8]) -> Result<(), Error<S::Error>> {
        read_layers(&self.layers, start, buf).await
    }

    /// Whether the `length` bytes at `start` are known to be zeros, without reading them, whatever file is under the last
    /// one that is open.
    pub(super) async fn is_zero(&self, start: GuestOffset, length: usize) -> Result<bool, Error<S::Error>> {
        let end = start.plus(length as u64).0.min(self.size());
        let mut at = start.0;
        while at < end {
            let extent = crate::image::read::map::extent_at(&self.layers, at, end - at).await?;
            if !extent.zero || !extent.present && self.lacks_backing() {
                return Ok(false);
            }
            at += extent.length;
        }
        Ok(true)
    }

    /// Links the clusters at `place`, and gives up those that they replace.
    async fn link(
        &self,
        disk: &Disk<'_, S>,
        fill: &Fill,
        place: HostOffset,
        old: &[Entry],
        mut reservation: Option<Reservation<'_>>,
    ) -> Result<(), Error<S::Error>> {
        let geometry = disk.geometry();
        let _guard = disk.writeback.lock.acquire().await;
        for (index, old) in old.iter().enumerate() {
            let cluster = fill.clusters_start.plus((index as u64) << geometry.cluster_bits());
            let filled = fill.subclusters(geometry, cluster);
            let (allocated, zero) = old.kept_masks();
            let host = place.plus(cluster.0 - fill.clusters_start.0);
            let new = L2Entry::owned(host, allocated | filled, zero & !filled, geometry);
            disk.set_entry(cluster.0 >> geometry.cluster_bits(), new).await?;
            // One by one: when this is dropped, what is linked must not be given back.
            if let Some(reservation) = &mut reservation {
                reservation.keep_first();
                disk.free_cluster(old);
            }
        }
        disk.writeback.relieve(&disk.file.files).await
    }
}

/// What a write to clusters that can't be written in place takes.
enum Plan {
    /// The first can be written in place by now.
    InPlace,
    /// So many have clusters of their own, side by side from this place on, in which subclusters are to be allocated.
    Own(u64, HostOffset),
    /// So many need new clusters.
    New(u64),
}

impl Plan {
    /// For a write from `start`, in the cluster of the first entry, on.
    fn new(geometry: Geometry, entries: &[Entry], start: GuestOffset) -> Self {
        let Some(place) = entries.first().and_then(Entry::own_place) else {
            return Self::New(entries.iter().take_while(|entry| entry.own_place().is_none()).count() as u64);
        };
        if entries.first().is_some_and(|entry| entry.is_allocated_at(geometry, start)) {
            return Self::InPlace;
        }
        let side_by_side = entries
            .iter()
            .zip(0..)
            .take_while(|(entry, index)| entry.own_place() == Some(place.plus(index << geometry.cluster_bits())));
        Self::Own(side_by_side.count() as u64, place)
    }
}

/// Which bytes are written to clusters that are being filled: the data, and around them what completes the first and
/// the last subcluster, or the whole cluster where it replaces one that holds something.
pub(super) struct Fill {
    clusters_start: GuestOffset,
    start: GuestOffset,
    data_start: GuestOffset,
    data_end: GuestOffset,
    end: GuestOffset,
    /// The first and the last cluster hold no data so far.
    holds_nothing: bool,
}

impl Fill {
    /// For as much of `length` bytes from `data_start` on as the clusters of `entries` take, the first of which
    /// `data_start` is in.
    pub(super) fn new(geometry: Geometry, entries: &[Entry], data_start: GuestOffset, length: u64) -> Self {
        let clusters_start = GuestOffset(data_start.0 - geometry.offset_in_cluster(data_start));
        let clusters_end = clusters_start.plus((entries.len() as u64) << geometry.cluster_bits());
        let data_end = data_start.plus(length).min(clusters_end);
        let grain = |entry: Option<&Entry>| match entry {
            Some(entry) if entry.is_replaced_whole() => geometry.cluster_size(),
            _ => 1 << geometry.subcluster_bits(),
        };
        let start = data_start.0 - data_start.0 % grain(entries.first());
        let last = data_end.0 - 1;
        let index = usize_of((last - clusters_start.0) >> geometry.cluster_bits());
        let entry = entries.get(index);
        // What is allocated already may be written by others at this very moment: its rest must be left alone.
        let end = if entry.is_some_and(|entry| entry.owned && entry.is_allocated_at(geometry, GuestOffset(last))) {
            data_end.0
        } else {
            data_end.0.next_multiple_of(grain(entry))
        };
        let holds_nothing = [entries.first(), entry].into_iter().flatten().all(Entry::holds_nothing);
        Self { clusters_start, start: GuestOffset(start), data_start, data_end, end: GuestOffset(end), holds_nothing }
    }

    /// The subclusters of the cluster at `cluster` that are filled.
    pub(super) fn subclusters(&self, geometry: Geometry, cluster: GuestOffset) -> u32 {
        let (bits, count) = (geometry.subcluster_bits(), geometry.subclusters());
        (0..count)
            .filter(|index| {
                let start = cluster.plus(u64::from(*index) << bits);
                start < self.end && self.start < start.plus(1 << bits)
            })
            .fold(0, |mask, index| mask | 1 << index)
    }
}

impl Entry {
    /// The cluster that nothing else refers to.
    fn own_place(&self) -> Option<HostOffset> {
        match self.meaning {
            Cluster::Subclusters(subclusters) if self.owned => subclusters.host,
            _ => None,
        }
    }

    fn is_allocated_at(&self, geometry: Geometry, guest: GuestOffset) -> bool {
        match self.meaning {
            Cluster::Subclusters(subclusters) => subclusters.allocated >> geometry.subcluster_index(guest) & 1 != 0,
            Cluster::Compressed(_) => true,
        }
    }

    fn holds_nothing(&self) -> bool {
        matches!(self.meaning, Cluster::Subclusters(subclusters) if subclusters.allocated == 0)
    }

    /// A new cluster has to hold all of what this one holds.
    fn is_replaced_whole(&self) -> bool {
        match self.meaning {
            Cluster::Subclusters(subclusters) => !self.owned && subclusters.allocated != 0,
            Cluster::Compressed(_) => true,
        }
    }

    /// The masks of what goes on being as it is.
    fn kept_masks(&self) -> (u32, u32) {
        match self.meaning {
            Cluster::Subclusters(subclusters) if !self.is_replaced_whole() => (subclusters.allocated, subclusters.zero),
            _ => (0, 0),
        }
    }
}

/// Of a number that is known to be small.
fn usize_of(small: u64) -> usize {
    usize::try_from(small).unwrap_or(usize::MAX)
}
