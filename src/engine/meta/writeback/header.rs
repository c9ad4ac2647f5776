//! What is written to the header's fields.

use alloc::vec::Vec;

use super::Writeback;
use crate::error::Error;
use crate::field;
use crate::format::bitmap::in_use;
use crate::format::header::Header;
use crate::format::header::feature;
use crate::format::header::table_pointers::TablePointers;
use crate::format::units::HostOffset;
use crate::meta::host_file::Files;
use crate::storage::StorageMut;

impl Writeback {
    /// What the header says.
    pub(crate) fn table_pointers(&self) -> TablePointers {
        self.header.get().table_pointers()
    }

    /// Makes durable what was written, switches the header to other table_pointers, and makes that durable.
    ///
    /// The tables that are new lie before the cluster `end`, on clusters that the counts in memory call free. While it is
    /// in doubt which header the file has, none of those is allocated.
    pub(in crate::meta) async fn switch_table_pointers<S: StorageMut>(
        &self,
        files: &Files<S>,
        table_pointers: TablePointers,
        end: u64,
    ) -> Result<(), Error<S::Error>> {
        self.barrier(files).await?;
        self.header_in_doubt.set(true);
        self.refcounts.floor.set(end);
        self.write(files.image.write(HostOffset(field::SIZE), &table_pointers.to_bytes())).await?;
        self.barrier(files).await?;
        self.header_is_known();
        self.header.set(self.header.get().with_table_pointers(table_pointers));
        Ok(())
    }

    /// Runs `replace`, which writes another header and is safe to drop. Until it completes, the header is in doubt.
    pub(crate) async fn replace_header<E>(
        &self,
        replace: impl Future<Output = Result<(), Error<E>>>,
    ) -> Result<(), Error<E>> {
        self.check_writable()?;
        self.header_in_doubt.set(true);
        let result = replace.await;
        if matches!(result, Err(Error::Storage(_))) {
            self.poison();
        } else {
            self.header_is_known();
        }
        result
    }

    /// Makes the header what it should be, where a write of it was dropped.
    pub(super) async fn complete_header<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        if self.header_in_doubt.get() {
            // After it, no dropped write of the first sector can be carried out any more.
            self.barrier(files).await?;
            let table_pointers = self.header.get().table_pointers();
            self.write(files.image.write(HostOffset(field::SIZE), &table_pointers.to_bytes())).await?;
            self.barrier(files).await?;
            self.header_is_known();
        }
        Ok(())
    }

    fn header_is_known(&self) {
        self.header_in_doubt.set(false);
        self.refcounts.floor.set(0);
    }

    /// Marks the image as corrupt, so that it is not written again before it is repaired.
    pub(crate) async fn mark_corrupt<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let header = self.header.get();
        if self.poisoned.replace(true) || !header.is_version_3() {
            return Ok(());
        }
        let features = header.raw().incompatible_features | feature::CORRUPT;
        let place = HostOffset(field::INCOMPATIBLE_FEATURES);
        files.image.write(place, &features.to_be_bytes()).await.map_err(Error::Storage)?;
        self.header.set(header.with_features(features, header.raw().autoclear_features));
        files.flush().await.map_err(Error::Storage)
    }

    /// Removes the name of the backing file, which is then no one's, from the header: its place and its length are in one
    /// sector.
    pub(crate) async fn forget_backing<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.write(files.image.write(HostOffset(field::BACKING_FILE_OFFSET), &[0; 12])).await?;
        self.barrier(files).await?;
        self.header.set(self.header.get().without_backing());
        Ok(())
    }

    /// Takes over the bitmaps, which are stored from time to time: where the directory has their flags, and these. Before the next
    /// change each is marked as in use.
    pub(crate) fn keep_bitmaps(&self, flags: Vec<(u64, u32)>) {
        self.keeps_bitmaps.set(true);
        self.marked_bitmaps.set(false);
        self.unmarked_bitmaps.replace(flags);
    }

    /// Whether the file says that its bitmaps are in use.
    pub(crate) fn marked_bitmaps(&self) -> bool {
        self.marked_bitmaps.get()
    }

    async fn mark_bitmaps<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let flags = self.unmarked_bitmaps.borrow().clone();
        if flags.is_empty() {
            return Ok(());
        }
        for (place, flags) in flags {
            self.write(files.image.write(HostOffset(place), &in_use(flags).to_be_bytes())).await?;
        }
        self.barrier(files).await?;
        self.marked_bitmaps.set(true);
        self.unmarked_bitmaps.borrow_mut().clear();
        Ok(())
    }

    /// The autoclear features that hold when this has written.
    fn maintained_features(&self, header: &Header) -> u64 {
        let bitmaps = if self.keeps_bitmaps.get() { header.raw().autoclear_features & feature::BITMAPS } else { 0 };
        header.maintained_autoclear_features() | bitmaps
    }

    /// Whether the header is as it has to be when anything else is written.
    pub(crate) fn is_header_ready(&self) -> bool {
        let is_marked = self.unmarked_bitmaps.borrow().is_empty();
        !self.header_in_doubt.get()
            && is_marked
            && self.header.with(|header| self.maintained_features(header) == header.raw().autoclear_features)
    }

    /// Makes the header as it has to be when anything else is written: what it should be where a write of it was dropped,
    /// and without the autoclear features that this crate doesn't maintain. The caller holds the lock.
    ///
    /// Not before the first change: an image that is opened for writing and not written stays as it is.
    pub(crate) async fn prepare_header<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.complete_header(files).await?;
        let header = self.header.get();
        self.mark_bitmaps(files).await?;
        let features = self.maintained_features(&header);
        if header.raw().autoclear_features != features {
            let place = HostOffset(field::AUTOCLEAR_FEATURES);
            self.write(files.image.write(place, &features.to_be_bytes())).await?;
            self.barrier(files).await?;
            self.header.set(header.with_features(header.raw().incompatible_features, features));
        }
        Ok(())
    }
}
