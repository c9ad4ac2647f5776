//! Making durable what was written.

use alloc::rc::Rc;

use crate::error::{Error, Misuse};
use crate::image::Image;
use crate::image::layer::Layer;
use crate::meta::writeback::Writeback;
use crate::storage::StorageMut;

impl<S: StorageMut> Image<S> {
    /// Makes durable all that was written before.
    ///
    /// One barrier of the storage where only clusters were rewritten in place, two where some were allocated, three where
    /// the refcount table changed. When dropped, nothing is known of what is durable.
    pub async fn flush(&self) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        let _guard = writeback.lock.acquire().await;
        writeback.flush(&self.top.files).await
    }

    /// Flushes, stores the bitmaps, and brings the reference counts up to date: a handle that is dropped without it leaves what a crash
    /// would leave. The handle, and its clones, can still be used.
    pub async fn close(&self) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        self.store_bitmaps().await?;
        let _guard = writeback.lock.acquire().await;
        writeback.drain(&self.top.files).await
    }

    /// What is not written yet, of an image that may be written.
    pub(in crate::image) fn writable(&self) -> Result<&Writeback, Misuse> {
        let is_active = matches!(self.disk(), Layer::Qcow2 { file, view } if Rc::ptr_eq(view, &file.active));
        let writeback = self.top.writeback.get().filter(|_| is_active).ok_or(Misuse::ReadOnly)?;
        writeback.check_writable()?;
        Ok(writeback)
    }
}
