//! The walk from an offset of the disk to its place in the file, entry by entry.

use crate::error::{Error, Misuse};
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::layer::Layer;
use crate::meta::run::Mapping;
use crate::storage::Storage;

/// How the image itself maps a byte of its disk. Offsets of entries and tables are bytes of the image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The byte of the disk.
    pub guest_offset: u64,
    /// Which entry of the L1 table.
    pub l1_index: u64,
    /// Where that entry is; `None` past the end of the table.
    pub l1_entry_offset: Option<u64>,
    /// That entry, as stored.
    pub l1_entry: Option<u64>,
    /// The L2 table that it points to; `None` where nothing of its range is mapped.
    pub l2_table_offset: Option<u64>,
    /// Which entry of the L2 table.
    pub l2_index: u64,
    /// Where that entry is.
    pub l2_entry_offset: Option<u64>,
    /// That entry's first word, as stored.
    pub l2_entry: Option<u64>,
    /// Its subcluster bitmap, where the image has extended L2 entries.
    pub l2_bitmap: Option<u64>,
    /// What the byte is.
    pub kind: LocationKind,
    /// Where the byte is in the file that holds the data; for a compressed one, where its cluster's stream begins.
    pub host_offset: Option<u64>,
    /// The length of that stream in bytes, rounded up, for a compressed byte.
    pub compressed_length: Option<u64>,
}

/// What a byte of the disk is, as far as the image itself is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationKind {
    /// The backing file's, or zero where there is none.
    Unallocated,
    /// Zero.
    Zero,
    /// Data.
    Data,
    /// Part of a compressed cluster.
    Compressed,
}

impl<S: Storage> Image<S> {
    /// How the image itself, whatever its backing files, maps the byte at `offset` of the disk.
    pub async fn locate(&self, offset: u64) -> Result<Location, Error<S::Error>> {
        let _request = self.top.begin_request().await;
        let size = self.size();
        let out_of_bounds = Misuse::OutOfBounds { offset, length: 1, size };
        let Layer::Qcow2 { file, view } = self.disk() else {
            // The first layer is the image itself.
            return Err(out_of_bounds.into());
        };
        if offset >= size {
            return Err(out_of_bounds.into());
        }
        let guest = GuestOffset(offset);
        let (tables, image, l1) = (&file.tables, &file.files.image, view.l1());
        let attempt = || Ok((tables.walk(image.id(), l1, guest)?, tables.resolve(image.id(), l1, guest, 1)?));
        let (walk, run) = tables.cache().complete(image, tables.slice_size(), attempt).await?;
        let (kind, host_offset, compressed_length) = match run.mapping {
            Mapping::Unallocated(place) => (LocationKind::Unallocated, place, None),
            Mapping::Zero(place) => (LocationKind::Zero, place, None),
            Mapping::Data(place) => (LocationKind::Data, Some(place), None),
            Mapping::Compressed(span) => (LocationKind::Compressed, Some(span.start), Some(span.length)),
        };
        let extended = tables.geometry().extended_l2();
        Ok(Location {
            guest_offset: offset,
            l1_index: tables.geometry().l1_index(guest),
            l1_entry_offset: walk.l1_entry.map(|(place, _)| place.0),
            l1_entry: walk.l1_entry.map(|(_, entry)| entry.0),
            l2_table_offset: walk.l2_table.map(|table| table.0),
            l2_index: tables.geometry().l2_index(guest),
            l2_entry_offset: walk.l2_entry.map(|(place, _)| place.0),
            l2_entry: walk.l2_entry.map(|(_, entry)| entry.word),
            l2_bitmap: walk.l2_entry.filter(|_| extended).map(|(_, entry)| entry.bitmap),
            kind,
            host_offset: host_offset.map(|place| place.0),
            compressed_length,
        })
    }
}
