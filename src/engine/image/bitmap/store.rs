//! Storing the bitmaps of an image.

use alloc::vec::Vec;
use core::ops::Range;

use super::list::{Bitmap, Bitmaps};
use super::table::{Part, parts};
use crate::error::Error;
use crate::format::bitmap::{BitmapTable, emit_directory, flags};
use crate::format::geometry::Geometry;
use crate::format::header::Header;
use crate::format::header::emit_changed::ChangedHeader;
use crate::format::header::extension::{BITMAPS, BitmapDirectory};
use crate::format::header::feature;
use crate::image::Image;
use crate::image::info::stored_bitmaps;
use crate::image::open::header::StoredHeader;
use crate::image::options::replace_header::{OldHeader, replace_header};
use crate::meta::restructure::Restructure;
use crate::storage::StorageMut;

/// A bitmap that is being stored, with its new table and the clusters of the old one that it no longer needs.
struct Stored {
    bitmap: Bitmap,
    freed: Vec<Range<u64>>,
}

impl Bitmap {
    /// The flags of the bitmap's directory entry.
    fn flags(&self) -> u32 {
        flags(self.inconsistent, self.enabled)
    }
}

impl Bitmaps {
    /// Whether the bitmaps differ from those in the file, or are marked there as in use.
    pub(crate) fn need_storing(&self, marked: bool) -> bool {
        self.changed.get() || (marked && self.list.borrow().iter().any(|bitmap| !bitmap.inconsistent))
    }
}

impl<S: StorageMut> Image<S> {
    /// Stores the bitmaps and clears their in-use marks. Durable when it completes.
    pub(in crate::image) async fn store_bitmaps(&self) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        if self.top.header().is_version_3() && self.top.bitmaps.need_storing(writeback.marked_bitmaps()) {
            self.store_all_bitmaps(u64::MAX).await?;
        }
        Ok(())
    }

    /// Stores the bitmaps if some of their clusters are at or after `target`, and moves these clusters.
    pub(in crate::image) async fn store_bitmaps_before(&self, target: u64) -> Result<(), Error<S::Error>> {
        if !self.top.header().is_version_3() {
            return Ok(());
        }
        let geometry = self.top.tables.geometry();
        let directory = self.old_directory().await?;
        let directory = directory.map(|directory| clusters(geometry, directory.offset, directory.size));
        let mut reaches_target = directory.is_some_and(|clusters| clusters.end > target);
        for (info, table) in stored_bitmaps(&self.top).await? {
            // The contents of an inconsistent bitmap are unknown, so its clusters stay.
            reaches_target |=
                !info.in_use && self.clusters_of(table).await?.iter().any(|clusters| clusters.end > target);
        }
        if reaches_target { self.store_all_bitmaps(target).await } else { Ok(()) }
    }

    /// Stores the bitmaps. Clusters at or after `target` move.
    async fn store_all_bitmaps(&self, target: u64) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        let bitmaps = &self.top.bitmaps;
        let closed = writeback.gate.close().await;
        let files = &self.top.files;
        let geometry = self.top.tables.geometry();
        let old = self.old_directory().await?;
        let mut freed: Vec<Range<u64>> =
            old.iter().map(|directory| clusters(geometry, directory.offset, directory.size)).collect();
        let mut stored = Vec::new();
        let list = bitmaps.list.borrow().clone();
        let known = stored_bitmaps(&self.top).await?;
        let is_kept =
            |table: &BitmapTable| list.iter().any(|bitmap| bitmap.table.is_some_and(|own| own.offset == table.offset));
        let dropped = known.iter().filter(|(_, table)| !is_kept(table));
        for (_, table) in dropped {
            freed.extend(self.clusters_of(*table).await?);
        }
        let new = Restructure::begin(files, writeback, &closed).await?;
        for bitmap in list {
            let Stored { bitmap, freed: unneeded } = self.store_bitmap(&new, bitmap, target).await?;
            freed.extend(unneeded);
            stored.push(bitmap);
        }
        let entries: Vec<_> =
            stored.iter().filter_map(|bitmap| Some((bitmap.name.as_str(), bitmap.flags(), bitmap.table?))).collect();
        let bytes = emit_directory(&entries);
        let directory = if entries.is_empty() {
            None
        } else {
            let size = bytes.len() as u64;
            let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
            Some(BitmapDirectory { bitmaps: count, reserved: 0, size, offset: new.write_new(bytes).await?.0 })
        };
        new.commit().await?;
        self.switch_directory(directory).await?;
        // No await from here on: the next change marks the bitmaps again.
        writeback.keep_bitmaps(directory.map(|directory| directory.flag_offsets(&entries)).unwrap_or_default());
        bitmaps.list.replace(stored);
        bitmaps.changed.set(false);
        for clusters in freed {
            writeback.free(clusters);
        }
        Ok(())
    }

    /// Writes the table of a bitmap, and those of its clusters whose bits differ from the file or that are at or after
    /// `target`.
    async fn store_bitmap(
        &self,
        new: &Restructure<'_, S>,
        mut bitmap: Bitmap,
        target: u64,
    ) -> Result<Stored, Error<S::Error>> {
        let (file, geometry) = (&self.top.files.image, self.top.tables.geometry());
        let entries = bitmap.table_entries(self.size(), geometry).max(1);
        let is_unchanged = bitmap.table.is_some_and(|table| u64::from(table.entries) == entries)
            && bitmap.added.is_empty()
            && !bitmap.resized;
        if bitmap.inconsistent || is_unchanged && target == u64::MAX {
            return Ok(Stored { bitmap, freed: Vec::new() });
        }
        let old = parts(file, bitmap.table).await?;
        let mut freed: Vec<_> =
            bitmap.table.iter().map(|table| clusters(geometry, table.offset, u64::from(table.entries) * 8)).collect();
        let moves = |part: Part| cluster_of(geometry, part).is_some_and(|clusters| clusters.end > target);
        let stays = !freed.iter().any(|clusters| clusters.end > target) && !old.iter().any(|part| moves(*part));
        if is_unchanged && stays {
            return Ok(Stored { bitmap, freed: Vec::new() });
        }
        let mut bytes = Vec::new();
        for index in 0..entries {
            let part = usize::try_from(index).ok().and_then(|index| old.get(index)).copied().unwrap_or(Part::Zeros);
            let covered = index * geometry.cluster_size()..(index + 1) * geometry.cluster_size();
            let is_resized = bitmap.resized && index + 1 == entries;
            let part =
                if bitmap.added.any_in_bytes(covered.clone()) || (is_resized && part != Part::Zeros) || moves(part) {
                    let mut set = part.read(file, geometry).await?;
                    bitmap.added.merge_into(covered.start, &mut set);
                    self.clear_past_end(&bitmap, covered.start, &mut set);
                    freed.extend(cluster_of(geometry, part));
                    if set.iter().all(|byte| *byte == 0) { Part::Zeros } else { Part::At(new.write_new(set).await?) }
                } else {
                    part
                };
            bytes.extend_from_slice(&part.entry().to_be_bytes());
        }
        let beyond = old.get(usize::try_from(entries).unwrap_or(usize::MAX)..).unwrap_or_default();
        freed.extend(beyond.iter().filter_map(|part| cluster_of(geometry, *part)));
        let offset = new.write_new(bytes).await?;
        bitmap.table =
            Some(BitmapTable::new(offset.0, u32::try_from(entries).unwrap_or(u32::MAX), bitmap.granularity_bits));
        bitmap.added.clear();
        bitmap.resized = false;
        Ok(Stored { bitmap, freed })
    }

    /// Clears the bits after the end of the disk.
    fn clear_past_end(&self, bitmap: &Bitmap, start: u64, bytes: &mut [u8]) {
        let bits = self.size().div_ceil(1 << bitmap.granularity_bits).saturating_sub(start * 8);
        for (index, byte) in bytes.iter_mut().enumerate() {
            let left = bits.saturating_sub(index as u64 * 8);
            if left < 8 {
                *byte &= !(u8::MAX << left);
            }
        }
    }

    /// The directory that the header points to.
    async fn old_directory(&self) -> Result<Option<BitmapDirectory>, Error<S::Error>> {
        if !self.top.header().has_consistent_bitmaps() {
            return Ok(None);
        }
        let stored = StoredHeader::read(&self.top.files.image).await.map_err(Error::Storage)??;
        Ok(stored.extensions.bitmap_directory())
    }

    /// The clusters of a bitmap in the file, with its table.
    async fn clusters_of(&self, table: BitmapTable) -> Result<Vec<Range<u64>>, Error<S::Error>> {
        let geometry = self.top.tables.geometry();
        let parts = parts(&self.top.files.image, Some(table)).await?;
        let own = clusters(geometry, table.offset, u64::from(table.entries) * 8);
        Ok(parts.into_iter().filter_map(|part| cluster_of(geometry, part)).chain([own]).collect())
    }

    /// Makes the header point to another directory.
    async fn switch_directory(&self, directory: Option<BitmapDirectory>) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        let _guard = writeback.lock.acquire().await;
        let file = &self.top.files.image;
        let stored = StoredHeader::read(file).await.map_err(Error::Storage)??;
        let old = OldHeader::read(file, &stored.header).await?;
        let replaced = [(BITMAPS, directory.map(BitmapDirectory::to_bytes))];
        let changed = ChangedHeader {
            old: &old.bytes,
            old_header: &stored.header,
            extensions: &stored.extensions,
            replaced: &replaced,
            name: &old.backing_name,
            format: stored.extensions.backing_format(),
            data_file_name: stored.extensions.data_file_name(),
        };
        let mut raw = stored.header.clone();
        raw.autoclear_features &= !feature::BITMAPS;
        if directory.is_some() {
            raw.autoclear_features |= feature::BITMAPS;
        }
        writeback.replace_header(replace_header(file, &raw, &changed)).await?;
        let stored = StoredHeader::read(file).await.map_err(Error::Storage)??;
        self.top.current_header.set(Header::check(stored.header, &stored.feature_names)?);
        Ok(())
    }
}

fn cluster_of(geometry: Geometry, part: Part) -> Option<Range<u64>> {
    let Part::At(offset) = part else { return None };
    Some(clusters(geometry, offset.0, geometry.cluster_size()))
}

/// The clusters of `length` bytes at `offset`.
fn clusters(geometry: Geometry, offset: u64, length: u64) -> Range<u64> {
    let first = offset >> geometry.cluster_bits();
    first..first + length.div_ceil(geometry.cluster_size())
}
