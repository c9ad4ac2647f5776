//! L2 tables that may be changed in place.

use core::ops::Range;

use super::disk::Disk;
use crate::error::{Error, Misuse};
use crate::format::l1::L1Entry;
use crate::format::units::{GuestOffset, HostOffset};
use crate::meta::lookup::L1Step;
use crate::meta::reservation::Reservation;
use crate::storage::StorageMut;

impl<S: StorageMut> Disk<'_, S> {
    /// Gives `clusters` L2 tables that may be changed in place: new ones, or copies of tables that a snapshot shares.
    ///
    /// A change does this before it allocates clusters for data, as QEMU does. So the data of a file that is written
    /// sequentially stays contiguous, and linking it allocates nothing.
    pub(super) async fn make_tables(&self, clusters: Range<u64>) -> Result<(), Error<S::Error>> {
        let per_table = self.geometry().l2_entries();
        let _guard = self.writeback.lock.acquire().await;
        for table in clusters.start / per_table..clusters.end.div_ceil(per_table) {
            self.make_table(self.guest_offset(table * per_table)).await?;
        }
        Ok(())
    }

    /// Gives `guest` an L2 table that may be changed in place, if it has none. The caller holds the metadata lock.
    async fn make_table(&self, guest: GuestOffset) -> Result<(), Error<S::Error>> {
        let geometry = self.geometry();
        let (image, tables) = (&self.file.files.image, &self.file.tables);
        let step = || tables.l1_step(image.id(), self.l1, guest);
        let Some(L1Step { offset, entry, l2_table: shared }) =
            tables.cache().complete(image, tables.slice_size(), step).await?
        else {
            // The guest offset is after the last entry of the L1 table.
            return Err(Misuse::ImageFull.into());
        };
        if shared.is_some() && entry.is_copied() {
            return Ok(());
        }
        let clusters = self.writeback.allocate(image, 1).await?;
        let table = HostOffset(clusters.start << geometry.cluster_bits());
        let reservation = Reservation::new(self.writeback, clusters, table);
        self.writeback.add_table(image, table);
        if let Some(shared) = shared {
            self.writeback.copy_table(image, shared, table).await?;
            self.writeback.count_table_change();
        }
        let link = || self.writeback.set_l1_entry(image.id(), offset, L1Entry::copied(table));
        tables.cache().complete(image, tables.slice_size(), link).await?;
        reservation.keep();
        self.writeback.register_table(table);
        if let Some(shared) = shared {
            // A snapshot may still use the table. Then it is one of the tables that are not registered, as with QEMU's
            // default.
            self.writeback.unregister_table(shared);
            let cluster = shared.0 >> geometry.cluster_bits();
            self.writeback.free(cluster..cluster + 1);
        }
        Ok(())
    }
}
