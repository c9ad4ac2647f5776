//! Loading the bitmaps of an image that is opened for writing.

use alloc::vec::Vec;

use crate::error::Error;
use crate::format::bitmap::{BitmapInfo, BitmapTable, flags};
use crate::image::info::stored_bitmaps;
use crate::image::layer::Qcow2File;
use crate::image::open::header::StoredHeader;
use crate::storage::Storage;

/// The file offset and the value of each bitmap's flags.
type Flags = Vec<(u64, u32)>;

impl<S: Storage> Qcow2File<S> {
    /// Returns the bitmaps of the file, and the flags of the consistent ones. Returns `None` if they cannot be kept up
    /// to date, because the format has no bitmaps or they are corrupt: then the first change drops them.
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
        let stored = StoredHeader::read(&self.files.image).await.map_err(Error::Storage)??;
        let Some(directory) = stored.extensions.bitmap_directory().filter(|_| !list.is_empty()) else {
            return Ok(Some((list, Vec::new())));
        };
        let entries: Vec<_> =
            list.iter().map(|(info, table)| (info.name.as_str(), flags(info.in_use, info.auto), *table)).collect();
        let flag_offsets = directory.flag_offsets(&entries);
        let consistent = flag_offsets.into_iter().zip(&list).filter(|(_, (info, _))| !info.in_use);
        let flag_offsets = consistent.map(|(flags, _)| flags).collect();
        Ok(Some((list, flag_offsets)))
    }
}
