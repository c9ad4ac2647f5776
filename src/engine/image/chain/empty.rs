//! Emptying an overlay: what it held shows in its backing file now.

use alloc::vec;

use crate::error::Error;
use crate::format::l1::L1Entry;
use crate::image::Image;
use crate::image::progress::Steps;
use crate::image::write::rewrite_tables::Rewrite;
use crate::storage::StorageMut;

impl<S: StorageMut> Image<S> {
    /// Makes the image hold nothing of its own, so that the disk shows what the backing file has, or zeros without one. Snapshots
    /// keep what they have. The file becomes shorter where its end is free.
    ///
    /// Waits for the requests under way, and lets new ones wait. Durable when it completes. A crash, or dropping the future, leaves
    /// the image as it was, or empty.
    pub async fn empty(&self) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        let closed = writeback.gate.close().await;
        writeback.check_writable()?;
        let file = &*self.top;
        file.observers.notify(&(0..self.size()));
        // The new table lies behind what is freed; the second one takes a free place before that.
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
