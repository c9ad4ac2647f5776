//! Writes fields of the header.

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
    /// Returns the current table pointers of the header.
    pub(crate) fn table_pointers(&self) -> TablePointers {
        self.header.get().table_pointers()
    }

    /// Makes all earlier writes durable, switches the header to other table pointers, and makes that durable.
    ///
    /// The new tables are before the cluster `end`, on clusters that are free in the refcounts in memory. None of these is
    /// allocated while it is in doubt which header the file has.
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

    /// Runs `replace`, which writes another header and is safe to drop. The header is in doubt until it completes.
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

    /// Writes the table pointers again if an earlier write of them was dropped.
    pub(super) async fn complete_header<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        if self.header_in_doubt.get() {
            // After this barrier, no dropped write of the first sector can take effect any more.
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
        let offset = HostOffset(field::INCOMPATIBLE_FEATURES);
        files.image.write(offset, &features.to_be_bytes()).await.map_err(Error::Storage)?;
        self.header.set(header.with_features(features, header.raw().autoclear_features));
        files.flush().await.map_err(Error::Storage)
    }

    /// Removes the reference to the backing file's name from the header. Its offset and its length are in one sector.
    pub(crate) async fn forget_backing<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.write(files.image.write(HostOffset(field::BACKING_FILE_OFFSET), &[0; 12])).await?;
        self.barrier(files).await?;
        self.header.set(self.header.get().without_backing());
        Ok(())
    }

    /// Begins to maintain the bitmaps. `flags` are the host offsets and the values of their flags in the directory.
    ///
    /// Each bitmap is marked as in use before the next change of the image.
    pub(crate) fn keep_bitmaps(&self, flags: Vec<(u64, u32)>) {
        self.keeps_bitmaps.set(true);
        self.marked_bitmaps.set(false);
        self.unmarked_bitmaps.replace(flags);
    }

    /// Returns whether the bitmaps are marked as in use in the file.
    pub(crate) fn marked_bitmaps(&self) -> bool {
        self.marked_bitmaps.get()
    }

    async fn mark_bitmaps<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        let flags = self.unmarked_bitmaps.borrow().clone();
        if flags.is_empty() {
            return Ok(());
        }
        for (offset, flags) in flags {
            self.write(files.image.write(HostOffset(offset), &in_use(flags).to_be_bytes())).await?;
        }
        self.barrier(files).await?;
        self.marked_bitmaps.set(true);
        self.unmarked_bitmaps.borrow_mut().clear();
        Ok(())
    }

    /// Returns the autoclear features that stay valid when the image is written.
    fn maintained_features(&self, header: &Header) -> u64 {
        let bitmaps = if self.keeps_bitmaps.get() { header.raw().autoclear_features & feature::BITMAPS } else { 0 };
        header.maintained_autoclear_features() | bitmaps
    }

    /// Returns whether the header is in the state that it must have before anything else is written.
    #[inline]
    pub(crate) fn is_header_ready(&self) -> bool {
        let is_marked = self.unmarked_bitmaps.borrow().is_empty();
        !self.header_in_doubt.get()
            && is_marked
            && self.header.with(|header| self.maintained_features(header) == header.raw().autoclear_features)
    }

    /// Brings the header into the state that it must have before anything else is written. The caller holds the lock.
    ///
    /// This completes a dropped write of the header, marks the bitmaps as in use, and clears the autoclear features that this
    /// crate doesn't maintain. The first change calls it: an image that is opened for writing and not written stays as it is.
    pub(crate) async fn prepare_header<S: StorageMut>(&self, files: &Files<S>) -> Result<(), Error<S::Error>> {
        self.complete_header(files).await?;
        let header = self.header.get();
        self.mark_bitmaps(files).await?;
        let features = self.maintained_features(&header);
        if header.raw().autoclear_features != features {
            let offset = HostOffset(field::AUTOCLEAR_FEATURES);
            self.write(files.image.write(offset, &features.to_be_bytes())).await?;
            self.barrier(files).await?;
            self.header.set(header.with_features(header.raw().incompatible_features, features));
        }
        Ok(())
    }
}
