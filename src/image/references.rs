//! Who refers to which cluster: what the reference counts of an image should be.

use alloc::vec::Vec;

use hashbrown::HashMap;

use super::head::Head;
use super::layer::Qcow2File;
use super::snapshot::checked_l1_table;
use super::snapshot_table::SnapshotTable;
use crate::error::{Corrupt, Error};
use crate::format::bitmap::{BITMAP_ENTRY_SIZE, BITMAP_OFFSET_MASK};
use crate::format::geometry::Geometry;
use crate::format::header::L1Table;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry};
use crate::format::l2::{Cluster, L2Entry};
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// How often each cluster of a file is referred to: a byte a cluster, so 32 MiB for a file of 2 TiB with default
/// clusters.
pub(super) struct References {
    /// [`MANY`] stands for a count that is in `many`.
    counts: Vec<u8>,
    many: HashMap<u64, u64>,
}

const MANY: u8 = u8::MAX;

impl References {
    /// For a file of `clusters` clusters.
    fn new(clusters: u64) -> Self {
        // A file of more clusters than there can be memory would be of more than 2^41 bytes.
        Self { counts: alloc::vec![0; usize::try_from(clusters).unwrap_or(usize::MAX)], many: HashMap::new() }
    }

    pub(super) fn clusters(&self) -> u64 {
        self.counts.len() as u64
    }

    pub(super) fn count(&self, cluster: u64) -> u64 {
        let index = usize::try_from(cluster).unwrap_or(usize::MAX);
        match self.counts.get(index) {
            None => 0,
            Some(&MANY) => self.many.get(&cluster).copied().unwrap_or(MANY.into()),
            Some(&count) => count.into(),
        }
    }

    /// Adds a reference to `cluster`; whether the file has that cluster.
    fn add(&mut self, cluster: u64) -> bool {
        let index = usize::try_from(cluster).unwrap_or(usize::MAX);
        match self.counts.get_mut(index) {
            None => return false,
            Some(count) if *count < MANY - 1 => *count += 1,
            Some(count) => {
                *count = MANY;
                *self.many.entry(cluster).or_insert(u64::from(MANY) - 1) += 1;
            }
        }
        true
    }
}

/// Finds all references of an image.
pub(super) struct Finder<'a, S> {
    image: &'a Qcow2File<S>,
    geometry: Geometry,
    found: References,
}

impl<'a, S: Storage> Finder<'a, S> {
    pub(super) fn new(image: &'a Qcow2File<S>) -> Self {
        let geometry = image.header().geometry();
        let clusters = image.files.image.size().div_ceil(geometry.cluster_size());
        Self { image, geometry, found: References::new(clusters) }
    }

    /// Every reference but those to the refcount structure itself.
    pub(super) async fn find(mut self) -> Result<References, Error<S::Error>> {
        let header = self.image.header();
        let raw = header.raw();
        self.add_area(HostOffset(0), self.geometry.cluster_size())?;
        let (snapshots, length) = SnapshotTable::of(raw).read(&self.image.files.image).await?;
        self.add_area(HostOffset(raw.snapshots_offset), length)?;
        self.add_mapping(header.l1_table()).await?;
        for snapshot in &snapshots {
            self.add_mapping(checked_l1_table(snapshot, self.geometry)?).await?;
        }
        self.add_crypto_header().await?;
        self.add_bitmaps().await?;
        Ok(self.found)
    }

    async fn add_mapping(&mut self, l1: L1Table) -> Result<(), Error<S::Error>> {
        self.add_area(l1.offset, l1.entries * L1_ENTRY_SIZE)?;
        for index in 0..l1.entries {
            let place = l1.offset.plus(index * L1_ENTRY_SIZE);
            if let Some(table) = self.l2_table(place).await? {
                self.add_area(table, self.geometry.cluster_size())?;
                self.add_l2_table(table).await?;
            }
        }
        Ok(())
    }

    async fn add_crypto_header(&mut self) -> Result<(), Error<S::Error>> {
        if self.image.encrypted.is_some() {
            let head = Head::read(&self.image.files.image).await.map_err(Error::Storage)??;
            if let Some(place) = head.crypto_header()? {
                self.add_area(HostOffset(place.offset), place.length)?;
            }
        }
        Ok(())
    }

    /// The bitmaps, where they count: one that is out of date is nobody's.
    async fn add_bitmaps(&mut self) -> Result<(), Error<S::Error>> {
        if !self.image.header().has_consistent_bitmaps() {
            return Ok(());
        }
        let file = &self.image.files.image;
        let head = Head::read(file).await.map_err(Error::Storage)??;
        let Some(directory) = head.extensions.bitmap_directory() else {
            return Ok(());
        };
        let size = directory.checked_size()? as u64;
        let bytes = file.read_up_to(HostOffset(directory.offset), size).await.map_err(Error::Storage)?;
        self.add_area(HostOffset(directory.offset), size)?;
        for table in directory.tables(&bytes)? {
            self.add_area(HostOffset(table.offset), u64::from(table.entries) * BITMAP_ENTRY_SIZE)?;
            for index in 0..u64::from(table.entries) {
                let place = HostOffset(table.offset).plus(index * BITMAP_ENTRY_SIZE);
                let cluster = self.image.tables.word(file, place).await? & BITMAP_OFFSET_MASK;
                if cluster != 0 {
                    self.add_area(HostOffset(cluster), self.geometry.cluster_size())?;
                }
            }
        }
        Ok(())
    }

    async fn l2_table(&self, place: HostOffset) -> Result<Option<HostOffset>, Error<S::Error>> {
        let entry = L1Entry(self.image.tables.word(&self.image.files.image, place).await?);
        let unaligned = |table: crate::format::l1::UnalignedTable| Corrupt::L2TableUnaligned {
            entry_offset: place.0,
            table: table.0,
        };
        Ok(entry.l2_table(self.geometry).map_err(unaligned)?)
    }

    async fn add_l2_table(&mut self, table: HostOffset) -> Result<(), Error<S::Error>> {
        for index in 0..self.geometry.l2_entries() {
            let place = table.plus(index * self.geometry.l2_entry_size());
            let entry = self.image.tables.l2_entry(&self.image.files.image, place).await?;
            if let Some((start, length)) = self.cluster_of(entry, place)? {
                self.add_area(start, length)?;
            }
        }
        Ok(())
    }

    /// What `entry` refers to in the image file.
    fn cluster_of(&self, entry: L2Entry, place: HostOffset) -> Result<Option<(HostOffset, u64)>, Corrupt> {
        let cluster = entry.decode(self.image.tables.rules()).map_err(|bad| bad.at(place, entry))?;
        Ok(match cluster {
            Cluster::Compressed(span) => Some((span.start, span.length)),
            // A data file counts nothing.
            Cluster::Subclusters(_) if self.image.files.data_file.is_some() => None,
            Cluster::Subclusters(subclusters) => subclusters.host.map(|host| (host, self.geometry.cluster_size())),
        })
    }

    /// Adds a reference to each cluster of an area. The last one may reach past the end of the file.
    fn add_area(&mut self, start: HostOffset, length: u64) -> Result<(), Corrupt> {
        let bits = self.geometry.cluster_bits();
        for cluster in start.0 >> bits..start.plus(length).0.div_ceil(1 << bits) {
            if !self.found.add(cluster) && cluster != self.found.clusters() {
                return Err(Corrupt::PastEnd { offset: cluster << bits });
            }
        }
        Ok(())
    }
}
