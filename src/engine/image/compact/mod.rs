//! Compacting: moves clusters down into free ones, and truncates the file.
//!
//! The clusters that are in use would fit before the cluster `target`, which is their number. So everything at or after
//! `target` moves to a free cluster before it, and nothing else moves. This takes passes, because what is freed during
//! one pass is used by the next one:
//!
//! 1. Zero clusters of the disk are freed, if that is asked for (`zeros.rs`).
//! 2. L1 tables, the snapshot table, the refcount table and refcount blocks are restructured (`tables.rs`): new tables are
//!    written beside the old ones, and one write of the header switches to them. Bitmaps are stored again.
//! 3. L2 tables, data clusters and compressed clusters move one by one (`clusters.rs`):
//!
//! ```text
//! reserve a cluster, with all its references | copy | link every entry that refers to it | (flush ends) | free the old one
//! ```
//!
//! 4. Everything is made durable, and the file is truncated after its last cluster.
//!
//! **References.** A cluster may have several, by snapshots. It moves only if all its references are known: a scan of all
//! tables (`references.rs`) finds the entries that refer to clusters after `target`, and a move checks that the entries
//! still do, that no table was copied or moved since the scan, and that their number is the refcount of the cluster.
//! Otherwise the cluster stays until the next pass, or for good: leaked clusters cannot move, and neither can the header
//! of LUKS, an inconsistent bitmap, or a table of several clusters if no free range is long enough.
//! The last restructuring writes the refcount table and its block beside the old ones, so a few clusters of the file may be
//! free in the end.
//!
//! **Crashes.** [`Writeback`](crate::meta::writeback::Writeback) writes the links only after the copies and their refcounts,
//! and decrements the old refcounts only after the links are durable. If only some links of a cluster reach the file, both
//! copies have the same contents and a refcount of at least their references. So a crash leaves leaks at worst, and
//! compacting can be repeated.
//!
//! **Requests.** A write in place takes no lock on guest clusters. So each batch of moves has exclusive access to the image:
//! it waits for the running requests, and new requests wait for the batch, which copies at most [`MAX_BATCH`] bytes.

mod clusters;
mod references;
mod tables;
mod zeros;

use alloc::boxed::Box;
use core::ops::ControlFlow;

use futures_util::future::LocalBoxFuture;

use super::Image;
use super::check::Progress;
use super::progress::Steps;
use crate::error::Error;
use crate::meta::exclusive::ExclusiveGuard;
use crate::meta::host_file::HostFile;
use crate::meta::refcounts::Refcounts;
use crate::storage::{Storage, StorageMut};

/// The most bytes that one batch copies, if that is more than a cluster.
const MAX_BATCH: u64 = 1 << 20;
/// The most passes. Usually the second or third one finds nothing to do. Compressed clusters need more, because gaps between
/// them are lost.
const MAX_PASSES: usize = 5;

/// A part of a compaction, on the heap. Its code exists once, wherever it is called, and speed does not matter.
type Task<'a, T, E> = LocalBoxFuture<'a, Result<T, Error<E>>>;

/// The options for compacting an image.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompactOptions {
    detect_zeroes: bool,
}

impl CompactOptions {
    /// Moves clusters, and frees none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether the data of the disk is read first, and clusters that hold only zeros are freed. Default false.
    #[must_use]
    pub fn detect_zeroes(self, detect_zeroes: bool) -> Self {
        Self { detect_zeroes }
    }
}

/// The clusters of a file that are in use.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Usage {
    /// How many are in use: compacting moves everything at or after this cluster.
    target: u64,
    /// The end of the last one.
    end: u64,
}

impl<S: Storage> Image<S> {
    /// Returns by how many bytes [`compact`](Self::compact) makes the file smaller, at most.
    ///
    /// It does not count zeros that would be found, nor clusters that were freed since the last flush, and it assumes that
    /// every cluster can move. Reads all refcounts.
    pub async fn reclaimable(&self) -> Result<u64, Error<S::Error>> {
        let file = &self.top.files.image;
        let opened;
        let refcounts = if let Some(writeback) = self.top.writeback.get() {
            &writeback.refcounts
        } else {
            opened = Refcounts::open(file, &self.top.header(), self.top.tables.cache().clone()).await?;
            &opened
        };
        let usage = Usage::of(refcounts, file).await?;
        Ok(file.size().saturating_sub(usage.target << self.top.tables.geometry().cluster_bits()))
    }
}

impl<S: StorageMut> Image<S> {
    /// Moves clusters down into free ones, and truncates the file.
    ///
    /// The disk and the snapshots stay as they are. Takes time in proportion to the tables and to the data that moves.
    /// `on_progress` receives how many clusters are done, and can stop the operation with
    /// [`Misuse::Cancelled`](crate::Misuse::Cancelled). If zeros are detected, the total grows once they are.
    ///
    /// Other requests continue, and wait for at most one batch of moves, of 1 MiB. What they allocate meanwhile takes free
    /// clusters too. A crash, an error or a dropped future leaves a sound image, with some clusters moved; compacting can
    /// be repeated. The moves are durable when it completes.
    ///
    /// Leaked clusters do not move; [`repair`](crate::repair) frees them.
    pub async fn compact(
        &self,
        options: CompactOptions,
        on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Error<S::Error>> {
        let mut steps = Steps::new(on_progress);
        self.writable()?;
        if options.detect_zeroes {
            self.free_zeros(&mut steps).await?;
        }
        let mut before = None;
        for pass in 0..MAX_PASSES {
            let usage = self.usage(&mut steps, pass == 0).await?;
            if usage.end <= usage.target || before == Some(usage) {
                break;
            }
            before = Some(usage);
            self.store_bitmaps_before(usage.target).await?;
            self.move_tables(usage).await?;
            self.move_l2_tables(usage.target, &mut steps).await?;
            self.move_clusters(usage.target, &mut steps).await?;
        }
        let _closed = self.exclusive().await?;
        let writeback = self.writable()?;
        let _guard = writeback.lock.acquire().await;
        writeback.drain(&self.top.files).await?;
        writeback.cut_file(&self.top.files).await
    }

    /// Makes everything durable, so that all freed clusters are free, and returns which are in use.
    async fn usage(&self, steps: &mut Steps<'_>, is_first: bool) -> Result<Usage, Error<S::Error>> {
        let _closed = self.exclusive().await?;
        let (writeback, file) = (self.writable()?, &self.top.files.image);
        let _guard = writeback.lock.acquire().await;
        writeback.drain(&self.top.files).await?;
        // The next compressed cluster must not go where the last one went, which may be at the end of the file.
        writeback.end_compressed_cluster();
        let usage = Usage::of(&writeback.refcounts, file).await?;
        if is_first {
            steps.expect_more(writeback.refcounts.count_allocated(file, usage.target..usage.end).await?);
        }
        Ok(usage)
    }

    /// Waits for exclusive access, for a batch of moves.
    fn exclusive(&self) -> Task<'_, ExclusiveGuard<'_>, S::Error> {
        Box::pin(async move {
            let writeback = self.writable()?;
            let closed = writeback.gate.close().await;
            writeback.check_writable()?;
            if !writeback.is_header_ready() {
                let _guard = writeback.lock.acquire().await;
                writeback.prepare_header(&self.top.files).await?;
            }
            Ok(closed)
        })
    }
}

impl Usage {
    async fn of<S: Storage>(refcounts: &Refcounts, file: &HostFile<S>) -> Result<Self, Error<S::Error>> {
        let end = refcounts.end_of_allocated(file).await?;
        Ok(Self { target: refcounts.count_allocated(file, 0..end).await?, end })
    }
}
