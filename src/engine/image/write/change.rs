//! Changing what the disk is mapped to.
//!
//! A change holds the guest clusters that it is about (so that no other change touches them), reads and writes data
//! without any lock, and takes the metadata lock only to allocate and to link. In this order a cluster is *reserved*
//! (allocated, its count in memory), *filled* (its data written), and *linked* (an entry points to it, in memory);
//! [`Writeback`] brings counts and links to the file in their order. Dropped anywhere before the link, the reservation
//! gives its clusters back.

use alloc::vec::Vec;
use core::ops::Range;

use crate::error::{Corrupt, Error, Misuse};
use crate::format::geometry::Geometry;
use crate::format::l1::{L1Entry, L1Table};
use crate::format::l2::{BadL2Entry, Cluster, CompressedSpan, L2Entry};
use crate::format::units::{GuestOffset, HostOffset};
use crate::image::Image;
use crate::image::layer::Qcow2File;
use crate::meta::exclusive::{Closed, Inside};
use crate::meta::mapping::Walk;
use crate::meta::reservation::Reservation;
use crate::meta::writeback::Writeback;
use crate::storage::{Storage, StorageMut};

/// The image's own disk, to be changed: while this is held, the L1 table stays where it is.
pub(in crate::image) struct Disk<'a, S> {
    pub(in crate::image) file: &'a Qcow2File<S>,
    pub(in crate::image) l1: L1Table,
    pub(in crate::image) writeback: &'a Writeback,
    /// `None` where the caller keeps the gate closed.
    _inside: Option<Inside<'a>>,
}

impl<'a, S: Storage> Disk<'a, S> {
    /// The disk, for somebody who keeps the gate closed.
    pub(in crate::image) fn alone(file: &'a Qcow2File<S>, writeback: &'a Writeback, _closed: &Closed<'_>) -> Self {
        Self { file, l1: file.active.l1(), writeback, _inside: None }
    }

    /// Fails where `length` bytes at `place` of the data file are not for data.
    pub(in crate::image) fn check_place(&self, place: HostOffset, length: u64) -> Result<(), Corrupt> {
        // A data file holds nothing else.
        if self.file.files.data_file.is_some() { Ok(()) } else { self.writeback.check_place(place, length) }
    }

    pub(in crate::image) fn geometry(&self) -> Geometry {
        self.file.tables.geometry()
    }

    /// The guest clusters that the `length` bytes at `start` touch.
    pub(in crate::image) fn clusters(&self, start: GuestOffset, length: u64) -> Range<u64> {
        let bits = self.geometry().cluster_bits();
        start.0 >> bits..start.plus(length).0.div_ceil(1 << bits)
    }

    pub(in crate::image) fn guest_offset(&self, cluster: u64) -> GuestOffset {
        GuestOffset(cluster << self.geometry().cluster_bits())
    }

    /// How many of the `length` bytes at `start` can be written in place by one request, 0 where none can, and where: by
    /// what is in memory; `None` where that doesn't tell it.
    pub(in crate::image) fn held_place(
        &self,
        start: GuestOffset,
        length: u64,
    ) -> Result<Option<(u64, HostOffset)>, Corrupt> {
        // Encrypted sectors have to be held.
        if self.file.encrypted.is_some() {
            return Ok(None);
        }
        let held = self.file.tables.held_owned_run(self.file.files.image.id(), self.l1, start, length)?;
        if let Some((length, place)) = held {
            self.check_place(place, length)?;
        }
        Ok(held)
    }

    /// The entry of a guest cluster and where it is, in an L2 table that may be changed in place; `None` where that isn't
    /// so, or what is in memory doesn't tell it.
    pub(in crate::image) fn held_entry(&self, cluster: u64) -> Option<(HostOffset, Entry)> {
        let guest = self.guest_offset(cluster);
        let walk = self.file.tables.held_walk(self.file.files.image.id(), self.l1, guest).ok()??;
        walk.l1_entry.filter(|(_, l1_entry)| l1_entry.is_owned())?;
        let (place, _) = walk.l2_entry?;
        Some((place, self.entry_of(&walk).ok()?))
    }

    /// The entry of a guest cluster; whether its L2 table may be changed in place is another matter.
    pub(in crate::image) async fn entry(&self, cluster: u64) -> Result<Entry, Error<S::Error>> {
        let guest = self.guest_offset(cluster);
        let walk = self.file.tables.walk(&self.file.files.image, self.l1, guest).await?;
        Ok(self.entry_of(&walk)?)
    }

    /// The entry that a walk has come to, or an empty one.
    fn entry_of(&self, walk: &Walk) -> Result<Entry, Corrupt> {
        let owned_table = walk.l1_entry.is_some_and(|(_, l1_entry)| l1_entry.is_owned());
        let (place, raw) = walk.l2_entry.unwrap_or((HostOffset(0), L2Entry { word: 0, bitmap: 0 }));
        let meaning = raw.decode(self.file.tables.rules()).map_err(|bad| bad.at(place, raw))?;
        Ok(Entry { raw, meaning, owned: owned_table && raw.is_owned() })
    }

    /// The entries of `clusters`, of one slice at most: so many as make a change.
    pub(in crate::image) async fn entries(&self, clusters: Range<u64>) -> Result<Vec<Entry>, Error<S::Error>> {
        let mut entries = Vec::new();
        for cluster in clusters {
            entries.push(self.entry(cluster).await?);
        }
        Ok(entries)
    }

    /// Allocates up to `wanted` clusters for the guest clusters from `first` on.
    pub(in crate::image) async fn reserve(
        &self,
        first: u64,
        wanted: u64,
    ) -> Result<(Reservation<'a>, u64), Error<S::Error>> {
        let writeback = self.writeback;
        if self.file.files.data_file.is_some() {
            // In a data file every cluster has the place that it has on the disk, and nothing is counted.
            let start = HostOffset(self.guest_offset(first).0);
            return Ok((Reservation::new(writeback, 0..0, start), wanted));
        }
        let _guard = writeback.lock.acquire().await;
        let clusters = writeback.allocate(&self.file.files.image, wanted).await?;
        let start = HostOffset(clusters.start << self.geometry().cluster_bits());
        let count = clusters.end - clusters.start;
        Ok((Reservation::new(writeback, clusters, start), count))
    }

    /// Allocates one cluster of the image file, not before `from`, if what is in memory tells which, and nobody else
    /// changes metadata.
    pub(in crate::image) fn reserve_at_once(&self, from: u64) -> Option<Reservation<'a>> {
        let _guard = self.writeback.lock.try_acquire()?;
        let cluster = self.writeback.allocate_held(self.file.files.image.id(), from)?;
        let start = HostOffset(cluster << self.geometry().cluster_bits());
        Some(Reservation::new(self.writeback, cluster..cluster + 1, start))
    }

    /// Allocates `length` bytes, less than a cluster, for a compressed cluster.
    pub(in crate::image) async fn reserve_bytes(&self, length: u64) -> Result<Reservation<'a>, Error<S::Error>> {
        let writeback = self.writeback;
        let _guard = writeback.lock.acquire().await;
        let start = writeback.allocate_bytes(&self.file.files.image, length).await?;
        let counted = CompressedSpan::of_bytes(start, length).clusters(self.geometry());
        Ok(Reservation::new(writeback, counted, start))
    }

    /// Gives up what `entry` refers to.
    pub(in crate::image) fn free_cluster(&self, entry: &Entry) {
        self.writeback.free(entry.meaning.counted(self.file.tables.rules()));
    }
}

impl<'a, S: StorageMut> Disk<'a, S> {
    /// Waits for whoever changes the tables as a whole, and keeps the next one waiting.
    pub(in crate::image) async fn enter(image: &'a Image<S>) -> Result<Self, Error<S::Error>> {
        let writeback = image.writable()?;
        let inside = writeback.gate.enter().await;
        writeback.check_writable()?;
        let file = &*image.top;
        if !writeback.is_ready() {
            let _guard = writeback.lock.acquire().await;
            writeback.make_ready(&file.files).await?;
        }
        Ok(Self { file, l1: file.active.l1(), writeback, _inside: Some(inside) })
    }

    /// The disk, where nothing has to be waited for or settled, and nothing keeps it from being written.
    pub(in crate::image) fn try_enter(image: &'a Image<S>) -> Option<Self> {
        let writeback = image.writable().ok()?;
        let inside = writeback.gate.try_enter()?;
        let file = &*image.top;
        writeback.is_ready().then(|| Self { file, l1: file.active.l1(), writeback, _inside: Some(inside) })
    }

    /// What a change came to. One that met damage marks the image, so that it is not written again before it is
    /// repaired.
    pub(in crate::image) async fn conclude<T>(&self, result: Result<T, Error<S::Error>>) -> Result<T, Error<S::Error>> {
        // A cluster that can't be unpacked is only the guest's loss.
        if let Err(Error::Corrupt(corrupt)) = &result
            && !matches!(corrupt, Corrupt::Compressed { .. })
        {
            let _guard = self.writeback.lock.acquire().await;
            self.writeback.mark_corrupt(&self.file.files).await?;
        }
        if result.is_ok() && self.writeback.write_through {
            let _guard = self.writeback.lock.acquire().await;
            self.writeback.flush(&self.file.files).await?;
        }
        result
    }

    /// Writes the guest's bytes at `guest` to `place`.
    pub(in crate::image) async fn write_data(
        &self,
        guest: GuestOffset,
        place: HostOffset,
        buf: &[u8],
    ) -> Result<(), Error<S::Error>> {
        let data = self.file.files.data();
        match &self.file.encrypted {
            None => self.writeback.watch(data.write(place, buf)).await,
            Some(encrypted) => encrypted.write(self.writeback, data, guest, place, buf).await,
        }
    }

    /// Sets the entry of the guest cluster, all of it or nothing. The caller holds it, and the metadata lock.
    pub(in crate::image) async fn set_entry(&self, cluster: u64, entry: L2Entry) -> Result<(), Error<S::Error>> {
        let geometry = self.geometry();
        let image = &self.file.files.image;
        let guest = self.guest_offset(cluster);
        let table = self.owned_table(guest).await?;
        let place = table.plus(geometry.l2_index(guest) * geometry.l2_entry_size());
        if geometry.extended_l2() {
            // Both words are in the same sector, which is written whole: no crash comes between them.
            self.writeback.set_entry_pair(image, place, entry.word, entry.bitmap).await
        } else {
            self.writeback.set_entry(image, place, entry.word).await
        }
    }

    /// The L2 table of `guest`, which may be changed in place: a new one, or a copy, where there is none such.
    async fn owned_table(&self, guest: GuestOffset) -> Result<HostOffset, Error<S::Error>> {
        let geometry = self.geometry();
        let image = &self.file.files.image;
        let walk = self.file.tables.walk_l1(image, self.l1, guest).await?;
        let Some((l1_place, l1_entry)) = walk.l1_entry else {
            // The disk ends before the L1 table does.
            return Err(Misuse::ImageFull.into());
        };
        if let Some(table) = walk.l2_table.filter(|_| l1_entry.is_owned()) {
            return Ok(table);
        }
        let clusters = self.writeback.allocate(image, 1).await?;
        let table = HostOffset(clusters.start << geometry.cluster_bits());
        let reservation = Reservation::new(self.writeback, clusters, table);
        self.writeback.add_table(image, table);
        if let Some(shared) = walk.l2_table {
            self.writeback.copy_table(image, shared, table).await?;
        }
        self.writeback.set_entry(image, l1_place, L1Entry::owned(table).0).await?;
        reservation.keep();
        self.writeback.keep_table(table);
        if let Some(shared) = walk.l2_table {
            // It may be a snapshot's still; then it is among the tables that this doesn't know, as QEMU by default.
            self.writeback.remove_table(shared);
            self.writeback.free([shared.0 >> geometry.cluster_bits()]);
        }
        Ok(table)
    }
}

impl Entry {
    /// The cluster that it has, whether or not that holds anything.
    pub(in crate::image) fn place(&self) -> Option<HostOffset> {
        match self.meaning {
            Cluster::Compressed(span) => Some(span.start),
            Cluster::Subclusters(subclusters) => subclusters.host,
        }
    }
}

/// The entry of a guest cluster.
#[derive(Clone, Copy, Debug)]
pub(in crate::image) struct Entry {
    pub(in crate::image) raw: L2Entry,
    pub(in crate::image) meaning: Cluster,
    /// It has a cluster that nothing else refers to.
    pub(in crate::image) owned: bool,
}

impl BadL2Entry {
    pub(in crate::image) fn at(self, place: HostOffset, raw: L2Entry) -> Corrupt {
        let entry_offset = place.0;
        match self {
            Self::Unaligned(cluster) => Corrupt::ClusterUnaligned { entry_offset, cluster },
            Self::ZeroInVersion2 => Corrupt::ZeroInVersion2 { entry_offset },
            Self::Subclusters => Corrupt::Subclusters { entry_offset, bitmap: raw.bitmap },
            Self::CompressedWithDataFile => Corrupt::CompressedWithDataFile { entry_offset },
        }
    }
}
