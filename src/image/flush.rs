//! Making durable what was written.

use super::Image;
use super::change::Disk;
use crate::error::Error;
use crate::storage::StorageMut;

impl<S: StorageMut> Image<S> {
    /// Makes durable all that was written before.
    ///
    /// One barrier of the storage where only clusters were rewritten in place, two where some were allocated, three where
    /// the refcount table changed. When dropped, nothing is known of what is durable.
    pub async fn flush(&self) -> Result<(), Error<S::Error>> {
        let disk = Disk::of(self.disk())?;
        let _guard = disk.writeback.lock.acquire().await;
        disk.writeback.flush(&disk.file.files).await
    }

    /// Flushes, and brings the reference counts up to date: a handle that is dropped without it leaves what a crash
    /// would leave. The handle, and its clones, can still be used.
    pub async fn close(&self) -> Result<(), Error<S::Error>> {
        let disk = Disk::of(self.disk())?;
        let _guard = disk.writeback.lock.acquire().await;
        disk.writeback.flush(&disk.file.files).await?;
        // What was freed by then is counted down now; and once more, where the refcount table was moved by it.
        for _ in 0..2 {
            if disk.writeback.owes_nothing() {
                break;
            }
            disk.writeback.flush(&disk.file.files).await?;
        }
        Ok(())
    }
}
