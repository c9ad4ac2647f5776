//! Resizing the disk.
//!
//! One write of the header gives the disk its new size. Before that, everything that the new part could expose is made
//! zeros, while it is not visible yet: the rest of the last cluster, the contents of a longer backing file, and the
//! entries of an L1 table that is longer than the disk (for a VM state). A crash leaves a disk of the old size or of
//! the new one.

use core::ops::Range;

use crate::error::{Error, Misuse};
use crate::format::l1::{L1Entry, L1Table, MAX_L1_ENTRIES};
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::change::disk::Disk;
use crate::image::change::zero::Zeroing;
use crate::image::create::Preallocation;
use crate::image::layer::{Layer, Qcow2File};
use crate::image::progress::Steps;
use crate::image::write::rewrite_tables::Rewrite;
use crate::meta::exclusive::ExclusiveGuard;
use crate::meta::restructure::Restructure;
use crate::meta::run::{Mapping, Run};
use crate::meta::writeback::Writeback;
use crate::storage::StorageMut;

const SECTOR: u64 = 512;
const MAX_DISK: u64 = 1 << 61;

/// The options for resizing a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResizeOptions {
    shrink: bool,
    preallocation: Preallocation,
}

impl ResizeOptions {
    /// Allows only a larger disk, and preallocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows a smaller disk: the data after the new end is lost.
    #[must_use]
    pub fn shrink(self, shrink: bool) -> Self {
        Self { shrink, ..self }
    }

    /// Sets how much of the new part is preallocated.
    ///
    /// The default is nothing, or the metadata if the data file is kept raw.
    #[must_use]
    pub fn preallocation(self, preallocation: Preallocation) -> Self {
        Self { preallocation, ..self }
    }
}

impl<S: StorageMut> Image<S> {
    /// Resizes the disk to `size` bytes, rounded up to a multiple of 512.
    ///
    /// The new part reads as zeros; snapshots keep their size.
    ///
    /// Waits for the running requests; new requests wait for it. The change is durable when it completes. If it fails
    /// or is dropped, the disk has its old size or the new one. After shrinking, the file is truncated if its end is
    /// free.
    ///
    /// The dirty bitmaps that the image stores are out of date since it was opened for writing, and stay as they are.
    pub async fn resize(&self, size: u64, options: &ResizeOptions) -> Result<(), Error<S::Error>> {
        let size = size.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX);
        let writeback = self.writable()?;
        let closed = writeback.gate.close().await;
        writeback.check_writable()?;
        let current = self.size();
        let geometry = self.top.tables.geometry();
        let largest = MAX_L1_ENTRIES.saturating_mul(geometry.l2_coverage()).min(MAX_DISK);
        if size > largest {
            return Err(Misuse::DiskTooLarge { size, largest }.into());
        }
        if size < current && !options.shrink {
            return Err(Misuse::WouldShrink { size, current }.into());
        }
        if size == current {
            return Ok(());
        }
        if size > current && self.layers.len() == 1 && self.top.header().raw().has_backing_file() {
            // The backing file may hold data after the end of the disk, which must not become visible.
            return Err(Misuse::GrowNeedsBacking.into());
        }
        if !self.top.header().is_version_3() && !self.snapshots().is_empty() {
            return Err(Misuse::ResizeNeedsVersion3.into());
        }
        {
            let _guard = writeback.lock.acquire().await;
            writeback.prepare_header(&self.top.files).await?;
        }
        self.top.bitmaps.resize();
        let resize = Resize { image: self, writeback, closed };
        if size < current { resize.shrink(size).await } else { resize.grow(size, options.preallocation).await }
    }
}

struct Resize<'a, S: StorageMut> {
    image: &'a Image<S>,
    writeback: &'a Writeback,
    closed: ExclusiveGuard<'a>,
}

impl<S: StorageMut> Resize<'_, S> {
    fn file(&self) -> &Qcow2File<S> {
        &self.image.top
    }

    async fn shrink(&self, size: u64) -> Result<(), Error<S::Error>> {
        self.rewrite(size, size).await?;
        if let Some(data_file) = &self.file().files.data_file {
            self.writeback.write(data_file.set_size(size)).await?;
        }
        let _guard = self.writeback.lock.acquire().await;
        self.writeback.cut_file(&self.file().files).await
    }

    async fn grow(&self, size: u64, preallocation: Preallocation) -> Result<(), Error<S::Error>> {
        let current = self.image.size();
        let geometry = self.file().tables.geometry();
        if let Some(data_file) = &self.file().files.data_file
            && data_file.size() < size
        {
            self.writeback.write(data_file.set_size(size)).await?;
        }
        let end_of_cluster = current.next_multiple_of(geometry.cluster_size());
        self.zero(current..end_of_cluster).await?;
        if self.file().active.l1().entries < geometry.l1_entries_for(size)
            || self.is_mapped_from(end_of_cluster).await?
        {
            self.rewrite(current, size).await?;
        }
        let shown = self.image.layers.get(1).map_or(0, |backing| backing.size().min(size));
        self.zero(end_of_cluster..shown.next_multiple_of(geometry.cluster_size())).await?;
        // Other programs may write a raw data file directly, so every cluster of it is mapped, as in QEMU.
        let is_raw = self.file().header().is_data_file_raw();
        if is_raw || preallocation != Preallocation::Off {
            let disk = self.disk();
            let clusters = end_of_cluster >> geometry.cluster_bits()..size.div_ceil(geometry.cluster_size());
            self.image.preallocate_clusters(&disk, clusters, true, preallocation == Preallocation::Full).await?;
        }
        let mut new = Restructure::begin(&self.file().files, self.writeback, &self.closed).await?;
        new.table_pointers().size = size;
        new.commit().await?;
        self.file().active.set(self.file().active.l1(), size);
        Ok(())
    }

    fn disk(&self) -> Disk<'_, S> {
        Disk::exclusive(self.file(), self.writeback, &self.closed)
    }

    /// Writes a new L1 table for the disk of `size` bytes, long enough for `room` bytes, with no entries after the
    /// disk.
    async fn rewrite(&self, size: u64, room: u64) -> Result<(), Error<S::Error>> {
        let file = self.file();
        let geometry = file.tables.geometry();
        let old = file.active.l1();
        let mut rewrite = Rewrite::begin(file, self.writeback, &self.closed, Steps::none()).await?;
        let l1 = rewrite.read_l1(old).await?;
        let mut l1 = rewrite.with_copied_flags(&l1, old.offset, size.div_ceil(geometry.cluster_size())).await?;
        l1.resize(usize::try_from(geometry.l1_entries_for(room)).unwrap_or(usize::MAX), L1Entry(0));
        let new = rewrite.write_l1(&l1).await?;
        rewrite.remove_l1(old).await?;
        let pointers = rewrite.new.table_pointers();
        (pointers.size, pointers.l1) = (size, new);
        rewrite.new.commit().await?;
        file.active.set(new, size);
        Ok(())
    }

    /// Zeroes a range after the disk, before the disk grows over it. The range ends at a cluster boundary.
    async fn zero(&self, range: Range<u64>) -> Result<(), Error<S::Error>> {
        let disk = self.disk();
        let backing = self.image.layers.get(1).map_or(0, Layer::size);
        let mut at = range.start;
        while at < range.end {
            let limit = range.end - at;
            let run = self.run_at(disk.l1, at, limit).await?;
            match run.mapping {
                Mapping::Zero(_) => {}
                Mapping::Unallocated(_) if at >= backing => {}
                Mapping::Unallocated(_) | Mapping::Data(_) | Mapping::Compressed(_) => {
                    self.image.zero_range(&disk, at..at + run.length, Zeroing::Zero).await?;
                }
            }
            at += run.length;
        }
        Ok(())
    }

    /// Returns the run at `start`, which may be after the end of the disk.
    async fn run_at(&self, l1: L1Table, start: u64, limit: u64) -> Result<Run, Error<S::Error>> {
        let (tables, image, start) = (&self.file().tables, &self.file().files.image, GuestOffset(start));
        tables.run(image, l1, start, limit, tables.resolve(image.id(), l1, start, limit)).await
    }

    /// Whether anything is mapped at or after `start`, which is after the end of the disk.
    async fn is_mapped_from(&self, start: u64) -> Result<bool, Error<S::Error>> {
        let file = self.file();
        let L1Table { entries, .. } = file.active.l1();
        let end = entries.saturating_mul(file.tables.geometry().l2_coverage());
        let mut at = start;
        while at < end {
            let run = self.run_at(file.active.l1(), at, end - at).await?;
            if run.mapping != Mapping::Unallocated(None) {
                return Ok(true);
            }
            at += run.length;
        }
        Ok(false)
    }
}
