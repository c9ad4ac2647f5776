//! Opening an image for writing.

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
    /// Opens the image in `storage` for reading and writing, and its backing files for reading.
    ///
    /// No other program may write to the storage meanwhile. Reads the whole refcount table and L1 table. Writes
    /// nothing, except for a repair. The first change clears the autoclear features that this crate does not maintain,
    /// and marks the bitmaps as in use.
    ///
    /// An image with lazy refcounts that was not closed properly is repaired, or refused if the repair would lose data
    /// ([`Misuse::NeedsRepair`]). An image that is marked as corrupt is refused. So is one in which a table overlaps
    /// other metadata ([`Corrupt::Overlap`](crate::Corrupt)), because a change of one would overwrite the other.
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
            image.top.repair_dirty().await?;
            image.check_sound()?;
        }
        let Qcow2File { files, tables, writeback, current_header, .. } = &*image.top;
        let opened =
            Writeback::open(&files.image, current_header.clone(), tables.cache().clone(), table_cache, write_through)
                .await?;
        image.top.register_metadata(&opened, &image).await?;
        if let Some((list, flags)) = image.top.usable_bitmaps().await? {
            if !list.is_empty() {
                image.top.observe_for_bitmaps();
            }
            image.top.bitmaps.load(list);
            opened.keep_bitmaps(flags);
        }
        // The cell is empty: the image has just been opened.
        let _ = writeback.set(opened);
        Ok(image)
    }
}

impl<S: Storage> Image<S> {
    /// Fails for any problem, even one that reading does not depend on: a write might overwrite anything.
    fn check_sound(&self) -> Result<(), Problem> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }
}

impl<S: StorageMut> Qcow2File<S> {
    /// Repairs an image that was not closed properly, without loss, and loads its new state.
    async fn repair_dirty(&self) -> Result<(), Error<S::Error>> {
        let report = repair_file(&self.files.image, RepairOptions::new(Repair::All)).await?;
        if report.after.is_dirty {
            return Err(Misuse::NeedsRepair.into());
        }
        // What was cached before the repair is out of date.
        self.tables.cache().clear();
        let stored = StoredHeader::read(&self.files.image).await.map_err(Error::Storage)??;
        let header = Header::check(stored.header, &stored.feature_names)?;
        self.active.set(header.l1_table(), header.disk_size());
        self.current_header.set(header);
        read_snapshot_table(self).await
    }
}

impl<S: Storage> Qcow2File<S> {
    /// Registers the tables of the mapping and of the snapshots with `writeback`, which knows the refcount structure
    /// itself.
    async fn register_metadata(&self, writeback: &Writeback, image: &Image<S>) -> Result<(), Error<S::Error>> {
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
        // Add them only now: several entries may share a table.
        for cluster in l2_tables {
            metadata_ranges.add(cluster..cluster + 1);
        }
        if self.encrypted.is_some() {
            let stored = StoredHeader::read(&self.files.image).await.map_err(Error::Storage)??;
            if let Some(luks) = stored.crypto_header()? {
                metadata_ranges.add(clusters(HostOffset(luks.offset), luks.length));
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
