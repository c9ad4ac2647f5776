//! The stored bitmaps, as a check counts their references.

use super::finding::Finding;
use super::sink::{Reference, Referred, Sink};
use super::subject::Subject;
use super::table_reader::Segments;
use crate::error::Error;
use crate::format::bitmap::{BITMAP_ENTRY_SIZE, BITMAP_OFFSET_MASK, BitmapTable};
use crate::format::header::feature;
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// Walks over the bitmaps if they are valid. After a program that does not know bitmaps has changed the file, their
/// clusters belong to nothing.
pub(in crate::image) async fn walk<S: Storage>(
    subject: &Subject<'_, S>,
    sink: &mut impl Sink<S::Error>,
) -> Result<(), Error<S::Error>> {
    let are_valid = subject.raw.version >= 3 && subject.raw.autoclear_features & feature::BITMAPS != 0;
    let Some(directory) = subject.extensions.bitmap_directory().filter(|_| are_valid) else {
        return Ok(());
    };
    let offset = directory.offset;
    let start = HostOffset(offset);
    let is_possible = directory.bitmaps > 0 && directory.reserved == 0 && subject.geometry.is_cluster_aligned(offset);
    let size = match directory.checked_size() {
        Ok(size) if size > 0 && is_possible => size,
        _ => {
            sink.find(Finding::BitmapDirectory { offset });
            return Ok(());
        }
    };
    sink.refer(Reference { source: start, start, length: directory.size, what: Referred::Bitmap });
    // At most 64 MiB, and no more than the file has: there are no entries past its end.
    let bytes = subject.file.read_up_to(start, size as u64).await.map_err(Error::Storage)?;
    let tables = match directory.tables(&bytes) {
        Ok(tables) if tables.iter().all(|table| table.is_allowed(subject.geometry, subject.disk_size())) => tables,
        _ => {
            sink.find(Finding::BitmapDirectory { offset });
            return Ok(());
        }
    };
    for table in tables {
        walk_table(subject, start, table, sink).await?;
    }
    Ok(())
}

async fn walk_table<S: Storage>(
    subject: &Subject<'_, S>,
    source: HostOffset,
    table: BitmapTable,
    sink: &mut impl Sink<S::Error>,
) -> Result<(), Error<S::Error>> {
    let (start, length) = (HostOffset(table.offset), u64::from(table.entries) * BITMAP_ENTRY_SIZE);
    sink.refer(Reference { source, start, length, what: Referred::Bitmap });
    let mut segments = Segments::new(subject, start, length);
    while let Some(words) = segments.next().await? {
        for (source, entry) in words {
            walk_entry(subject, source, entry, sink);
        }
        // Many bitmaps may claim one long table, so the caller must be able to cancel here.
        sink.progress(0)?;
    }
    Ok(())
}

fn walk_entry<S: Storage>(subject: &Subject<'_, S>, source: HostOffset, entry: u64, sink: &mut impl Sink<S::Error>) {
    /// Without a cluster: all bits are set.
    const ALL_ONES: u64 = 1;
    let offset = entry & BITMAP_OFFSET_MASK;
    let allowed = if offset == 0 { ALL_ONES } else { BITMAP_OFFSET_MASK };
    if entry & !allowed != 0 || !subject.geometry.is_cluster_aligned(offset) {
        sink.find(Finding::BitmapTableEntry { entry_offset: source.0, entry });
    } else if offset != 0 {
        let length = subject.geometry.cluster_size();
        sink.refer(Reference { source, start: HostOffset(offset), length, what: Referred::Bitmap });
    }
}
