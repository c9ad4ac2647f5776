//! One step of a write: one storage write in place, or one allocation.

use alloc::boxed::Box;
use alloc::vec;
use core::ops::Range;

use super::disk::Disk;
use super::entry::{Entries, Entry};
use super::wait::Wait;
use crate::error::Error;
use crate::format::geometry::Geometry;
use crate::format::l2::{Cluster, L2Entry, Subclusters};
use crate::format::units::{GuestOffset, HostOffset, usize_of};
use crate::image::Image;
use crate::meta::active_requests::Request;
use crate::meta::attempt::Attempt;
use crate::meta::cluster_locks::LockedRange;
use crate::meta::reservation::Reservation;
use crate::meta::run::{Mapping, Run};
use crate::storage::StorageMut;

/// The most bytes that one step allocates.
const MAX_ALLOCATION: u64 = 4 << 20;

/// A decided step. Dropping it rolls it back.
pub(in crate::image) enum Step<'a> {
    InPlace(InPlace<'a>),
    Allocate(Allocation<'a>),
}

/// A write of `length` bytes in place at host offset `host`.
pub(in crate::image) struct InPlace<'a> {
    pub(in crate::image) length: u64,
    pub(in crate::image) host: HostOffset,
    /// Keeps the cluster from being reused while the step runs.
    pub(super) request: Request<'a>,
}

/// Host clusters, or subclusters, that are reserved for a write and not linked yet.
pub(in crate::image) struct Allocation<'a> {
    /// The entries that the step replaces.
    old: Entries,
    /// The host offset of the first cluster.
    host: HostOffset,
    cow: CowRange,
    /// `None` if the host clusters are allocated already and only subclusters are new.
    reservation: Option<Reservation<'a>>,
    /// The number of clusters that are linked already. The reservation no longer frees them.
    linked: u64,
    /// `None` once the data is written: linking may write back, which may wait for all running requests.
    request: Option<Request<'a>>,
    /// `None` if the caller has locked the guest clusters.
    _held: Option<LockedRange<'a>>,
}

/// Whether the step or its caller locks the guest clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::image) enum LockedBy {
    Step,
    Caller,
}

impl<'a, S: StorageMut> Disk<'a, S> {
    /// Decides how to write the first of the `length` bytes at `start`: in place if their clusters are COPIED at every
    /// level, otherwise to newly allocated clusters. `length` is not 0.
    pub(in crate::image) fn write_step(
        &self,
        start: GuestOffset,
        length: u64,
        locked_by: LockedBy,
    ) -> Result<Step<'a>, Wait> {
        self.write_step_in(self.resolve(start, length), start, length, locked_by)
    }

    /// As [`Disk::write_step`], after the lookup returned `run`.
    pub(in crate::image) fn write_step_in(
        &self,
        run: Attempt<Run>,
        start: GuestOffset,
        length: u64,
        locked_by: LockedBy,
    ) -> Result<Step<'a>, Wait> {
        let run = run?;
        match self.in_place(&run)? {
            Some(step) => Ok(Step::InPlace(step)),
            None => self.allocate(&run, start, length, locked_by),
        }
    }

    /// Returns the write in place of as much of `run` as possible, or `None` if its first byte needs an allocation.
    #[inline]
    pub(in crate::image) fn in_place(&self, run: &Run) -> Attempt<Option<InPlace<'a>>> {
        let Run { mapping: Mapping::Data(host), copied: length @ 1.., .. } = *run else {
            return Ok(None);
        };
        self.check_host(host, length)?;
        Ok(Some(InPlace { length, host, request: self.writeback.requests.begin() }))
    }

    #[inline]
    fn allocate(&self, run: &Run, start: GuestOffset, length: u64, locked_by: LockedBy) -> Result<Step<'a>, Wait> {
        let geometry = self.geometry();
        let clusters = self.clusters(start, length.min(MAX_ALLOCATION));
        let Some(mut old) = self.entries(run, clusters.clone())? else {
            return Err(Wait::Tables(clusters));
        };
        let held = match locked_by {
            LockedBy::Caller => None,
            LockedBy::Step => {
                let held = self.writeback.cluster_locks.try_lock(&clusters);
                Some(held.ok_or_else(|| Wait::Guest(clusters.clone()))?)
            }
        };
        let request = self.writeback.requests.begin();
        let (count, host, reservation) = match Plan::new(geometry, old.as_slice()) {
            Plan::Subclusters(count, host) => {
                self.check_host(host, count << geometry.cluster_bits())?;
                (count, host, None)
            }
            Plan::Clusters(wanted) => {
                let (reservation, count) = self.try_reserve(clusters.start, wanted)?;
                (count, reservation.start(), Some(reservation))
            }
        };
        old.truncate(count);
        let cow = CowRange::new(geometry, old.as_slice(), start, length);
        Ok(Step::Allocate(Allocation { old, host, cow, reservation, linked: 0, request: Some(request), _held: held }))
    }

    /// Reserves up to `wanted` host clusters for the guest clusters from `first`.
    #[inline]
    fn try_reserve(&self, first: u64, wanted: u64) -> Result<(Reservation<'a>, u64), Wait> {
        let writeback = self.writeback;
        if self.file.files.data_file.is_some() {
            // In a data file, every cluster has its guest offset as host offset, and no refcount.
            let start = HostOffset(self.guest_offset(first).0);
            return Ok((Reservation::new(writeback, 0..0, start), wanted));
        }
        let _guard = writeback.lock.try_acquire().ok_or(Wait::Metadata)?;
        let clusters = writeback.try_allocate(self.file.files.image.id(), wanted)?.ok_or(Wait::Allocation)?;
        let start = HostOffset(clusters.start << self.geometry().cluster_bits());
        let count = clusters.end - clusters.start;
        Ok((Reservation::new(writeback, clusters, start), count))
    }

    /// Reserves up to `wanted` host clusters for the guest clusters from `first`, waiting if needed.
    pub(in crate::image) async fn reserve(
        &self,
        first: u64,
        wanted: u64,
    ) -> Result<(Reservation<'a>, u64), Error<S::Error>> {
        self.complete(|| self.try_reserve(first, wanted)).await
    }
}

impl Allocation<'_> {
    /// The number of bytes that the step writes.
    pub(in crate::image) fn length(&self) -> u64 {
        self.cow.data_end.0 - self.cow.data_start.0
    }

    /// Returns the host offset of the data if no copy-on-write is needed: the data alone completes the clusters.
    ///
    /// Bytes past the end of the file are zeros already, unless they would be decrypted.
    pub(in crate::image) fn host_if_data_alone<S: StorageMut>(&self, image: &Image<S>) -> Option<HostOffset> {
        let data = image.top.files.data();
        let fresh = self.host.0 >= data.untouched() && image.top.encrypted.is_none();
        let zero_around = fresh && self.cow.is_unallocated && image.layers.len() == 1;
        (self.cow.is_data_alone() || zero_around).then(|| self.host_of(self.cow.data_start))
    }

    fn host_of(&self, guest: GuestOffset) -> HostOffset {
        self.host.plus(guest.0 - self.cow.clusters_start.0)
    }

    /// Writes `buf` with the old data around it: copy-on-write.
    pub(in crate::image) async fn copy_on_write<S: StorageMut>(
        &self,
        image: &Image<S>,
        disk: &Disk<'_, S>,
        buf: &[u8],
    ) -> Result<(), Error<S::Error>> {
        let CowRange { start, data_start, data_end, end, .. } = self.cow;
        let (before, after) = (usize_of(data_start.0 - start.0), usize_of(end.0 - data_end.0));
        let fresh = self.host.0 >= disk.file.files.data().untouched() && disk.file.encrypted.is_none();
        if fresh && image.is_zero(start, before).await? && image.is_zero(data_end, after).await? {
            return disk.write_data(data_start, self.host_of(data_start), buf).await;
        }
        let mut whole = vec![0; before + buf.len() + after];
        image.read_chain(start, &mut whole[..before]).await?;
        whole[before..before + buf.len()].copy_from_slice(buf);
        image.read_chain(data_end, &mut whole[before + buf.len()..]).await?;
        disk.write_data(start, self.host_of(start), &whole).await
    }

    /// Links the clusters, which hold their data, and frees those that they replace. Then writes back if that is due.
    pub(in crate::image) async fn link<S: StorageMut>(&mut self, disk: &Disk<'_, S>) -> Result<(), Error<S::Error>> {
        if self.try_link(disk) {
            return Ok(());
        }
        // On the heap: it is large and rarely needed.
        Box::pin(async {
            let _guard = disk.writeback.lock.acquire().await;
            let (image, tables) = (&disk.file.files.image, &disk.file.tables);
            tables.cache().complete(image, tables.slice_size(), || self.link_cached(disk)).await?;
            disk.writeback.write_back_if_due(&disk.file.files).await
        })
        .await
    }

    /// Links the clusters without waiting. Returns false if the metadata lock or a table has to be waited for, or if a
    /// write-back is due.
    pub(super) fn try_link<S: StorageMut>(&mut self, disk: &Disk<'_, S>) -> bool {
        self.request = None;
        let Some(_guard) = disk.writeback.lock.try_acquire() else {
            return false;
        };
        self.link_cached(disk).is_ok() && !disk.writeback.is_write_back_due()
    }

    /// Links the clusters that are not linked yet, one after the other, up to one whose table is not cached. The caller
    /// holds the metadata lock.
    fn link_cached<S: StorageMut>(&mut self, disk: &Disk<'_, S>) -> Attempt<()> {
        let geometry = disk.geometry();
        while let Some(old) = self.old.as_slice().get(usize_of(self.linked)) {
            let within = self.linked << geometry.cluster_bits();
            let filled = self.cow.subclusters(geometry, self.cow.clusters_start.plus(within));
            let (allocated, zero) = old.kept_masks();
            let new = L2Entry::copied(self.host.plus(within), allocated | filled, zero & !filled, geometry);
            disk.writeback.set_l2_entry(disk.file.files.image.id(), old.offset, new)?;
            self.linked += 1;
            if let Some(reservation) = &mut self.reservation {
                reservation.keep_first();
                disk.free_cluster(old);
            }
        }
        Ok(())
    }
}

/// What an allocation needs.
enum Plan {
    /// This many clusters may be written in place, contiguous from this host offset; only subclusters are allocated.
    Subclusters(u64, HostOffset),
    /// This many guest clusters need new host clusters.
    Clusters(u64),
}

impl Plan {
    fn new(geometry: Geometry, entries: &[Entry]) -> Self {
        let Some(host) = entries.first().and_then(Entry::copied_host) else {
            return Self::Clusters(entries.iter().take_while(|entry| entry.copied_host().is_none()).count() as u64);
        };
        let contiguous = entries
            .iter()
            .zip(0..)
            .take_while(|(entry, index)| entry.copied_host() == Some(host.plus(index << geometry.cluster_bits())));
        Self::Subclusters(contiguous.count() as u64, host)
    }
}

/// The byte ranges of an allocating write, with copy-on-write.
///
/// `start..end` is the whole write: `data_start..data_end` is the caller's data. The bytes around it complete the first
/// and the last subcluster, or come from the replaced clusters.
struct CowRange {
    clusters_start: GuestOffset,
    start: GuestOffset,
    data_start: GuestOffset,
    data_end: GuestOffset,
    end: GuestOffset,
    /// The first and the last cluster held no data before.
    is_unallocated: bool,
}

impl CowRange {
    /// For the bytes at `data_start`, at most `length` and as many as the clusters of `entries` cover. `data_start` is
    /// in the cluster of the first entry.
    fn new(geometry: Geometry, entries: &[Entry], data_start: GuestOffset, length: u64) -> Self {
        let clusters_start = GuestOffset(data_start.0 - geometry.offset_in_cluster(data_start));
        let clusters_end = clusters_start.plus((entries.len() as u64) << geometry.cluster_bits());
        let data_end = data_start.plus(length).min(clusters_end);
        let subcluster = 1 << geometry.subcluster_bits();
        // The subcluster size is a power of two.
        let first_start = data_start.0 & !(subcluster - 1);
        let start = match entries.first().and_then(|entry| entry.copied_range(geometry)) {
            Some(copied) => first_start.min(clusters_start.0 + copied.start),
            None => first_start,
        };
        let last = data_end.0 - 1;
        let index = (last - clusters_start.0) >> geometry.cluster_bits();
        let entry = entries.get(usize_of(index));
        let last_end = (last | (subcluster - 1)) + 1;
        let end = match entry.and_then(|entry| entry.copied_range(geometry)) {
            Some(copied) => last_end.max(clusters_start.0 + (index << geometry.cluster_bits()) + copied.end),
            // Other requests may be writing an allocated subcluster right now, so the rest of it must stay untouched.
            None if entry.is_some_and(|entry| entry.is_allocated_at(geometry, GuestOffset(last))) => data_end.0,
            None => last_end,
        };
        let is_unallocated = [entries.first(), entry].into_iter().flatten().all(Entry::is_unallocated);
        Self { clusters_start, start: GuestOffset(start), data_start, data_end, end: GuestOffset(end), is_unallocated }
    }

    fn is_data_alone(&self) -> bool {
        self.start == self.data_start && self.end == self.data_end
    }

    /// The subclusters of the guest cluster at `cluster` that the write fills.
    fn subclusters(&self, geometry: Geometry, cluster: GuestOffset) -> u32 {
        // A cluster that the write reaches is filled as a whole if it is not divided.
        if geometry.subclusters() == 1 {
            return 1;
        }
        let (bits, count) = (geometry.subcluster_bits(), u64::from(geometry.subclusters()));
        let first = (self.start.0.saturating_sub(cluster.0) >> bits).min(count);
        let end = self.end.0.saturating_sub(cluster.0).div_ceil(1 << bits).min(count);
        // A cluster has at most 32 subclusters. Computed in 64 bits because `1 << 32` does not fit in 32.
        u32::try_from(((1_u64 << end) - 1) & !((1_u64 << first) - 1)).unwrap_or(u32::MAX)
    }
}

impl Entry {
    /// The bytes of the cluster that copy-on-write has to copy: from the first to the last allocated subcluster, as in
    /// QEMU. `None` if the cluster stays, or holds nothing.
    fn copied_range(&self, geometry: Geometry) -> Option<Range<u64>> {
        match self.meaning {
            Cluster::Compressed(_) => Some(0..geometry.cluster_size()),
            Cluster::Subclusters(subclusters) if self.copied || subclusters.allocated == 0 => None,
            Cluster::Subclusters(Subclusters { allocated, .. }) => {
                let (first, end) = (allocated.trailing_zeros(), u32::BITS - allocated.leading_zeros());
                Some(u64::from(first) << geometry.subcluster_bits()..u64::from(end) << geometry.subcluster_bits())
            }
        }
    }

    /// The masks of the subclusters that stay allocated, and that stay zero, unless the write fills them.
    fn kept_masks(&self) -> (u32, u32) {
        match self.meaning {
            Cluster::Subclusters(subclusters) if self.copied => (subclusters.allocated, subclusters.zero),
            // Copy-on-write fills the allocated subclusters.
            Cluster::Subclusters(subclusters) => (0, subclusters.zero),
            Cluster::Compressed(_) => (0, 0),
        }
    }
}
