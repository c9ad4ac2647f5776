//! The ranges of the disk that a bitmap marks.

use alloc::vec::Vec;
use core::ops::Range;

use super::bits::{Bits, runs};
use super::list::{Bitmap, missing, problem};
use super::table::part;
use crate::error::{BitmapProblem, Error};
use crate::format::bitmap::BitmapTable;
use crate::image::Image;
use crate::image::info::stored_bitmaps;
use crate::storage::Storage;

impl<S: Storage> Image<S> {
    /// Returns the byte ranges of the disk, from `offset`, whose bits are set, and where to continue.
    ///
    /// The second value is the offset for the next call, or the disk's size if there are no more ranges. A call reads
    /// one cluster of the bitmap.
    ///
    /// # Errors
    ///
    /// [`Misuse::Bitmap`](crate::Misuse::Bitmap) if there is no such bitmap, or if it is inconsistent.
    pub async fn bitmap_extents(&self, name: &str, offset: u64) -> Result<(Vec<Range<u64>>, u64), Error<S::Error>> {
        let bitmap = self.bitmap_named(name).await?;
        let (file, geometry, size) = (&self.top.files.image, self.top.tables.geometry(), self.size());
        let covered = (geometry.cluster_size() * 8) << bitmap.granularity_bits;
        let index = offset / covered;
        let start = index * covered;
        let next = start.saturating_add(covered).min(size);
        let part = part(file, bitmap.table, index).await?;
        let mut bytes = part.read(file, geometry).await?;
        bitmap.added.merge_into(index * geometry.cluster_size(), &mut bytes);
        let range = |bits: Range<u64>| {
            let from = start + (bits.start << bitmap.granularity_bits);
            let to = start + (bits.end << bitmap.granularity_bits);
            from.max(offset)..to.min(size)
        };
        Ok((runs(&bytes).map(range).filter(|range| !range.is_empty()).collect(), next))
    }

    async fn bitmap_named(&self, name: &str) -> Result<Bitmap, Error<S::Error>> {
        let found = if self.top.writeback.get().is_some() {
            self.top.bitmaps.list.borrow().iter().find(|bitmap| bitmap.name == name).cloned()
        } else {
            let stored = stored_bitmaps(&self.top).await?;
            stored
                .into_iter()
                .find(|(info, _)| info.name == name)
                .map(|(info, table)| Bitmap::stored(info.name, table, info.in_use))
        };
        let bitmap = found.ok_or_else(|| missing(name))?;
        if bitmap.inconsistent {
            return Err(problem(name, BitmapProblem::Inconsistent).into());
        }
        Ok(bitmap)
    }
}

impl Bitmap {
    fn stored(name: alloc::string::String, table: BitmapTable, inconsistent: bool) -> Self {
        let granularity_bits = table.granularity_bits();
        let (table, added) = (Some(table), Bits::default());
        Self { name, granularity_bits, enabled: false, inconsistent, table, added, resized: false }
    }
}
