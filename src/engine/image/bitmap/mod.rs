//! Dirty bitmaps: the parts of the disk that changed since some point in time.
//!
//! An image that is open for writing has its bitmaps in memory, with the bits that were set since it was opened. The
//! other bits stay in the file. Before the first change, the bitmaps in the file are marked as in use, so that after a
//! crash they are known to be out of date. [`Image::close`] stores them and clears the marks:
//!
//! ```text
//! new tables and a new directory, in free clusters | the header | (the old ones are freed)
//! ```
//!
//! A crash between these steps leaks clusters at worst.

mod bits;
mod extents;
pub(in crate::image) mod list;
mod load;
mod store;
mod table;

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::ops::Range;

use self::bits::Bits;
use self::list::{Bitmap, Bitmaps, missing, problem};
use crate::error::{BitmapProblem, Error};
use crate::format::bitmap::{BitmapInfo, GRANULARITY_BITS, MAX_BITMAP_BYTES, MAX_BITMAPS, MAX_NAME};
use crate::image::Image;
use crate::image::layer::Qcow2File;
use crate::storage::{Storage, StorageMut};

impl<S: Storage> Qcow2File<S> {
    /// Registers the bitmaps as an observer of changes.
    pub(in crate::image) fn observe_for_bitmaps(&self) {
        if self.bitmaps.is_observing.replace(true) {
            return;
        }
        let (bitmaps, disk) = (self.bitmaps.clone(), self.active.clone());
        // After the end of the disk there is only VM state.
        self.observers.add(Rc::new(move |range| bitmaps.mark(&(range.start..range.end.min(disk.size())))));
    }
}

impl<S: Storage> Image<S> {
    /// The bitmaps, if the image is open for writing.
    pub(in crate::image) fn bitmaps_in_memory(&self) -> Option<Vec<BitmapInfo>> {
        self.top.writeback.get().map(|_| self.top.bitmaps.infos())
    }

    fn bitmaps(&self) -> &Rc<Bitmaps> {
        &self.top.bitmaps
    }
}

impl<S: StorageMut> Image<S> {
    /// Creates a bitmap without set bits. It is stored when the image is closed.
    ///
    /// # Errors
    ///
    /// [`Misuse::Bitmap`](crate::Misuse::Bitmap) for a name that exists, is empty or is longer than 1023 bytes, for a granularity that is not
    /// a power of two from 512 to 2 GiB, and for an image of version 2.
    pub async fn create_bitmap(
        &self,
        name: &str,
        granularity: Option<u64>,
        enabled: bool,
    ) -> Result<(), Error<S::Error>> {
        self.writable()?;
        let cluster_size = self.top.tables.geometry().cluster_size();
        let granularity = granularity.unwrap_or(cluster_size.clamp(4096, 65536));
        let invalid = |why| problem(name, BitmapProblem::Invalid(why));
        if !self.top.header().is_version_3() {
            return Err(invalid("an image of version 2 cannot hold bitmaps; amend it to version 3 first").into());
        }
        if name.is_empty() || name.len() > usize::from(MAX_NAME) {
            return Err(invalid("its name must have 1 to 1023 bytes").into());
        }
        let bits = granularity.trailing_zeros();
        let allowed =
            u8::try_from(bits).ok().filter(|bits| granularity.is_power_of_two() && GRANULARITY_BITS.contains(bits));
        let granularity_bits =
            allowed.ok_or_else(|| invalid("its granularity must be a power of two from 512 bytes to 2 GiB"))?;
        if self.size().div_ceil(granularity).div_ceil(8) > MAX_BITMAP_BYTES {
            return Err(invalid("the granularity is too fine for a disk of this size; use a larger one").into());
        }
        let bitmaps = self.bitmaps();
        if bitmaps.list.borrow().iter().any(|bitmap| bitmap.name == name) {
            return Err(problem(name, BitmapProblem::Exists).into());
        }
        if bitmaps.list.borrow().len() >= MAX_BITMAPS as usize {
            return Err(invalid("the image already has the maximum number of bitmaps").into());
        }
        self.begin_changing_bitmaps().await?;
        let (name, table, added) = (name.into(), None, Bits::default());
        let bitmap = Bitmap { name, granularity_bits, enabled, inconsistent: false, table, added, resized: false };
        self.top.observe_for_bitmaps();
        bitmaps.list.borrow_mut().push(bitmap);
        bitmaps.changed.set(true);
        bitmaps.update_any_enabled();
        Ok(())
    }

    /// Deletes a bitmap, even an inconsistent one.
    pub async fn delete_bitmap(&self, name: &str) -> Result<(), Error<S::Error>> {
        self.begin_changing_bitmaps().await?;
        let bitmaps = self.bitmaps();
        let index = bitmaps.list.borrow().iter().position(|bitmap| bitmap.name == name);
        bitmaps.list.borrow_mut().remove(index.ok_or_else(|| missing(name))?);
        bitmaps.changed.set(true);
        bitmaps.update_any_enabled();
        Ok(())
    }

    /// Clears all bits of a bitmap.
    pub async fn clear_bitmap(&self, name: &str) -> Result<(), Error<S::Error>> {
        self.begin_changing_bitmaps().await?;
        Ok(self.bitmaps().change(name, |bitmap| {
            bitmap.table = None;
            bitmap.added.clear();
        })?)
    }

    /// Sets whether a bitmap records the changes of the disk.
    pub async fn enable_bitmap(&self, name: &str, enabled: bool) -> Result<(), Error<S::Error>> {
        self.begin_changing_bitmaps().await?;
        Ok(self.bitmaps().change(name, |bitmap| bitmap.enabled = enabled)?)
    }

    /// Sets the bits of ranges of the disk, in bytes.
    pub async fn mark_bitmap(&self, name: &str, ranges: &[Range<u64>]) -> Result<(), Error<S::Error>> {
        self.begin_changing_bitmaps().await?;
        let size = self.size();
        Ok(self.bitmaps().change(name, |bitmap| {
            for range in ranges {
                bitmap.set(&(range.start.min(size)..range.end.min(size)));
            }
        })?)
    }

    /// Marks the stored bitmaps as in use, because they are out of date from now on.
    async fn begin_changing_bitmaps(&self) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        let _guard = writeback.lock.acquire().await;
        writeback.prepare_header(&self.top.files).await
    }
}
