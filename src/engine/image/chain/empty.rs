//! Emptying an overlay after its data has been committed to the backing file.

use alloc::vec;

use crate::error::Error;
use crate::format::l1::L1Entry;
use crate::image::Image;
use crate::image::progress::Steps;
use crate::image::write::ZeroMode;
use crate::image::write::rewrite_tables::Rewrite;
use crate::storage::StorageMut;

impl<S: StorageMut> Image<S> {
    /// Empties the image: the disk reads as its backing file, or as zeros without one.
    ///
    /// Snapshots keep their data. The file is truncated if its end is free.
    ///
    /// Waits for the running requests; new requests wait for it. The change is durable when it completes. A crash, or
    /// dropping the future, leaves the image unchanged or empty. With a raw data file, parts of the disk may be zeros.
    pub async fn empty(&self) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        if self.top.header().is_data_file_raw() {
            // The data file is the disk, so new tables alone would not empty it. It has no backing file.
            self.write_zeroes(0, self.size(), ZeroMode::Unmap).await?;
            return self.flush().await;
        }
        let closed = writeback.gate.close().await;
        writeback.check_writable()?;
        let file = &*self.top;
        file.observers.notify(&(0..self.size()));
        // The first new table is after the freed clusters; the second takes a free cluster before them.
        for _ in 0..2 {
            let old = file.active.l1();
            let mut rewrite = Rewrite::begin(file, writeback, &closed, Steps::none()).await?;
            let l1 = rewrite.read_l1(old).await?;
            rewrite.remove(&l1, old.offset).await?;
            let new = rewrite.write_l1(&vec![L1Entry(0); l1.len()]).await?;
            rewrite.remove_l1(old).await?;
            rewrite.new.table_pointers().l1 = new;
            rewrite.new.commit().await?;
            file.active.set(new, self.size());
        }
        let _guard = writeback.lock.acquire().await;
        writeback.cut_file(&file.files).await
    }
}
