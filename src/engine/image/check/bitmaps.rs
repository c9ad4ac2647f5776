//! The bitmaps that an image stores, as a check counts them.

use super::finding::Finding;
use super::sink::{Reference, Referred, Sink};
use super::subject::Subject;
use super::table_reader::Pieces;
use crate::error::Error;
use crate::format::bitmap::{BITMAP_ENTRY_SIZE, BITMAP_OFFSET_MASK, BitmapTable};
use crate::format::header::feature;
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// Walks over the bitmaps, where they count: those of a file that somebody changed who doesn't know them are nobody's.
pub(in crate::image) async fn walk<S: Storage>(
    subject: &Subject<'_, S>,
    sink: &mut impl Sink<S::Error>,
) -> Result<(), Error<S::Error>> {
    let counts = subject.raw.version >= 3 && subject.raw.autoclear_features & feature::BITMAPS != 0;
    let Some(directory) = subject.extensions.bitmap_directory().filter(|_| counts) else {
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
    sink.refer(Reference { place: start, start, length: directory.size, what: Referred::Bitmap });
    // At most 64 MiB, and no more than the file has: what is past its end is no entry.
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
    place: HostOffset,
    table: BitmapTable,
    sink: &mut impl Sink<S::Error>,
) -> Result<(), Error<S::Error>> {
    let (start, length) = (HostOffset(table.offset), u64::from(table.entries) * BITMAP_ENTRY_SIZE);
    sink.refer(Reference { place, start, length, what: Referred::Bitmap });
    let mut pieces = Pieces::new(subject, start, length);
    while let Some(words) = pieces.next().await? {
        for (place, entry) in words {
            walk_entry(subject, place, entry, sink);
        }
        // Many bitmaps may claim one long table: whoever waits for all that may give it up.
        sink.progress(0)?;
    }
    Ok(())
}

fn walk_entry<S: Storage>(subject: &Subject<'_, S>, place: HostOffset, entry: u64, sink: &mut impl Sink<S::Error>) {
    /// Where there is no cluster: all bits are set.
    const ALL_ONES: u64 = 1;
    let offset = entry & BITMAP_OFFSET_MASK;
    let allowed = if offset == 0 { ALL_ONES } else { BITMAP_OFFSET_MASK };
    if entry & !allowed != 0 || !subject.geometry.is_cluster_aligned(offset) {
        sink.find(Finding::BitmapTableEntry { entry_offset: place.0, entry });
    } else if offset != 0 {
        let length = subject.geometry.cluster_size();
        sink.refer(Reference { place, start: HostOffset(offset), length, what: Referred::Bitmap });
    }
}
