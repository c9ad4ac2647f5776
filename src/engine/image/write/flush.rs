//! Flushing and closing an image.

use alloc::rc::Rc;

use crate::error::{Error, Misuse};
use crate::image::Image;
use crate::image::layer::Layer;
use crate::meta::writeback::Writeback;
use crate::storage::StorageMut;

impl<S: StorageMut> Image<S> {
    /// Makes everything that was written before durable.
    ///
    /// Takes one storage barrier if clusters were only rewritten in place, two if some were allocated, three if the
    /// refcount table changed. If the future is dropped, it is unknown what is durable.
    pub async fn flush(&self) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        let _guard = writeback.lock.acquire().await;
        writeback.flush(&self.top.files).await
    }

    /// Flushes, stores the bitmaps, and writes the refcounts.
    ///
    /// A handle that is dropped without `close` leaves the image as after a crash. The handle and its clones stay
    /// usable.
    pub async fn close(&self) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        self.store_bitmaps().await?;
        let _guard = writeback.lock.acquire().await;
        writeback.drain(&self.top.files).await
    }

    /// Returns the write-back state of an image that may be written.
    pub(in crate::image) fn writable(&self) -> Result<&Writeback, Misuse> {
        let is_active = matches!(self.disk(), Layer::Qcow2 { file, view } if Rc::ptr_eq(view, &file.active));
        let writeback = self.top.writeback.get().filter(|_| is_active).ok_or(Misuse::ReadOnly)?;
        writeback.check_writable()?;
        Ok(writeback)
    }
}
