//! Taking in the bitmaps of an image that is opened for writing.

use alloc::vec::Vec;

use crate::error::Error;
use crate::format::bitmap::{BitmapInfo, BitmapTable, flags};
use crate::image::info::stored_bitmaps;
use crate::image::layer::Qcow2File;
use crate::image::open::header::Head;
use crate::storage::Storage;

/// Where the file has the flags of a bitmap, and what they are.
type Flags = Vec<(u64, u32)>;

impl<S: Storage> Qcow2File<S> {
    /// The bitmaps that the file lists, and the flags of those that are consistent; `None` where they can't be kept up to date, for
    /// the format has none, or something is wrong with them: then the first change drops them.
    pub(in crate::image) async fn usable_bitmaps(
        &self,
    ) -> Result<Option<(Vec<(BitmapInfo, BitmapTable)>, Flags)>, Error<S::Error>> {
        let header = self.header();
        if !header.is_version_3() {
            return Ok(None);
        }
        let list = match stored_bitmaps(self).await {
            Ok(list) => list,
            Err(Error::Corrupt(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (geometry, size) = (self.tables.geometry(), self.active.size());
        if list.iter().any(|(_, table)| !table.is_allowed(geometry, size)) {
            return Ok(None);
        }
        let head = Head::read(&self.files.image).await.map_err(Error::Storage)??;
        let Some(directory) = head.extensions.bitmap_directory().filter(|_| !list.is_empty()) else {
            return Ok(Some((list, Vec::new())));
        };
        let entries: Vec<_> =
            list.iter().map(|(info, table)| (info.name.as_str(), flags(info.in_use, info.auto), *table)).collect();
        let places = directory.flag_offsets(&entries);
        let consistent = places.into_iter().zip(&list).filter(|(_, (info, _))| !info.in_use);
        let places = consistent.map(|(place, _)| place).collect();
        Ok(Some((list, places)))
    }
}
