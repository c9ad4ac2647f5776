//! Opening an image to write to it.

use alloc::vec::Vec;

use super::OpenOptions;
use super::header::StoredHeader;
use crate::error::{Error, Misuse, Problem};
use crate::format::header::Header;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry, L1Table};
use crate::format::units::HostOffset;
use crate::image::Image;
use crate::image::chain::backing::BackingResolver;
use crate::image::layer::Qcow2File;
use crate::image::repair::{Repair, RepairOptions, repair_file};
use crate::image::snapshot::checked_l1_table;
use crate::image::snapshot::table::{SnapshotTable, read_snapshot_table};
use crate::meta::writeback::Writeback;
use crate::storage::{Storage, StorageMut};

impl<S: StorageMut> Image<S> {
    /// Opens the image in `storage` for reading and writing, and the backing files under it for reading.
    ///
    /// Nobody else may write to the storage meanwhile. Reads the refcount table and the L1 table whole. Writes
    /// nothing; the first change clears the autoclear features that this crate doesn't maintain, and marks the
    /// bitmaps as in use. An image that a program left behind that writes the reference
    /// counts late and was not closed properly is repaired, or refused where that would take a loss
    /// ([`Misuse::NeedsRepair`]). One that is marked as corrupt is refused, and so is one of which a table is other
    /// metadata as well ([`Corrupt::Overlap`](crate::Corrupt)): to change the one would change the other.
    pub async fn open_writable<R: BackingResolver<S>>(
        storage: S,
        options: OpenOptions<S, R>,
    ) -> Result<Self, Error<S::Error>> {
        let (table_cache, write_through) = (options.table_cache, options.write_through);
        let image = Self::open(storage, options).await?;
        image.check_sound()?;
        if image.is_corrupt() {
            return Err(Misuse::MarkedCorrupt.into());
        }
        if image.is_dirty() {
            image.top.repair_left_behind().await?;
            image.check_sound()?;
        }
        let Qcow2File { files, tables, writeback, current_header, .. } = &*image.top;
        let opened =
            Writeback::open(&files.image, current_header.clone(), tables.cache().clone(), table_cache, write_through)
                .await?;
        image.top.find_metadata(&opened, &image).await?;
        if let Some((list, flags)) = image.top.usable_bitmaps().await? {
            if !list.is_empty() {
                image.top.observe_for_bitmaps();
            }
            image.top.bitmaps.load(list);
            opened.keep_bitmaps(flags);
        }
        // It was just made, so nothing is in it.
        let _ = writeback.set(opened);
        Ok(image)
    }
}

impl<S: Storage> Image<S> {
    /// Fails where something is wrong, be it that the active disk doesn't need it: nobody knows what may be overwritten.
    fn check_sound(&self) -> Result<(), Problem> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }
}

impl<S: StorageMut> Qcow2File<S> {
    /// Repairs an image that was not closed properly, as far as that loses nothing, and takes in what it is then.
    async fn repair_left_behind(&self) -> Result<(), Error<S::Error>> {
        let report = repair_file(&self.files.image, RepairOptions::new(Repair::All)).await?;
        if report.after.is_dirty {
            return Err(Misuse::NeedsRepair.into());
        }
        // What was read before is out of date.
        self.tables.cache().clear();
        let head = StoredHeader::read(&self.files.image).await.map_err(Error::Storage)??;
        let header = Header::check(head.header, &head.feature_names)?;
        self.active.set(header.l1_table(), header.disk_size());
        self.current_header.set(header);
        read_snapshot_table(self).await
    }
}

impl<S: Storage> Qcow2File<S> {
    /// Tells `writeback` where the tables of the mapping and of the snapshots are. It knows its own.
    async fn find_metadata(&self, writeback: &Writeback, image: &Image<S>) -> Result<(), Error<S::Error>> {
        let header = self.header();
        let (geometry, raw) = (header.geometry(), header.raw());
        let clusters = |start: HostOffset, length: u64| {
            let bits = geometry.cluster_bits();
            start.0 >> bits..start.plus(length).0.div_ceil(geometry.cluster_size())
        };
        let l1_clusters = |table: L1Table| clusters(table.offset, table.entries * L1_ENTRY_SIZE);
        let l1 = header.l1_table();
        let (metadata_ranges, cluster_bits) = (&writeback.refcounts.metadata_ranges, geometry.cluster_bits());
        metadata_ranges.claim(l1_clusters(l1), cluster_bits)?;
        let mut l2_tables = Vec::new();
        for index in 0..l1.entries {
            let entry = L1Entry(writeback.entry(&self.files.image, l1.offset.plus(index * L1_ENTRY_SIZE)).await?);
            if let Ok(Some(table)) = entry.l2_table(geometry) {
                let cluster = table.0 >> cluster_bits;
                metadata_ranges.check(cluster..cluster + 1, cluster_bits)?;
                l2_tables.push(cluster);
            }
        }
        // Not before: several entries may share a table.
        for cluster in l2_tables {
            metadata_ranges.add(cluster..cluster + 1);
        }
        if self.encrypted.is_some() {
            let head = StoredHeader::read(&self.files.image).await.map_err(Error::Storage)??;
            if let Some(place) = head.crypto_header()? {
                metadata_ranges.add(clusters(HostOffset(place.offset), place.length));
            }
        }
        let (_, length) = SnapshotTable::of(raw).read(&self.files.image).await?;
        metadata_ranges.add(clusters(HostOffset(raw.snapshots_offset), length));
        for snapshot in image.snapshots().iter() {
            metadata_ranges.add(l1_clusters(checked_l1_table(snapshot, geometry)?));
        }
        Ok(())
    }
}
