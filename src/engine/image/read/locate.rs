//! Looking up the host offset of a guest offset, entry by entry.

use crate::error::{Error, Misuse};
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::layer::Layer;
use crate::meta::run::Mapping;
use crate::storage::Storage;

/// How the image itself maps a byte of its disk. Entries and tables have offsets in the image file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The guest offset of the byte.
    pub guest_offset: u64,
    /// The index of the L1 entry.
    pub l1_index: u64,
    /// The offset of the L1 entry; `None` past the end of the table.
    pub l1_entry_offset: Option<u64>,
    /// The L1 entry as stored.
    pub l1_entry: Option<u64>,
    /// The offset of the L2 table; `None` if there is none.
    pub l2_table_offset: Option<u64>,
    /// The index of the L2 entry.
    pub l2_index: u64,
    /// The offset of the L2 entry.
    pub l2_entry_offset: Option<u64>,
    /// The first word of the L2 entry as stored.
    pub l2_entry: Option<u64>,
    /// The subcluster bitmap of the L2 entry, if the image has extended L2 entries.
    pub l2_bitmap: Option<u64>,
    /// The kind of the byte.
    pub kind: LocationKind,
    /// The host offset of the byte; for a compressed byte, that of its cluster's compressed data.
    pub host_offset: Option<u64>,
    /// The length of the compressed data in bytes, rounded up, for a compressed byte.
    pub compressed_length: Option<u64>,
}

/// The kind of a byte of the disk in the image itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationKind {
    /// Unallocated: the backing file provides it, or it is zero if there is none.
    Unallocated,
    /// Reads as zero.
    Zero,
    /// Uncompressed data.
    Data,
    /// Part of a compressed cluster.
    Compressed,
}

impl<S: Storage> Image<S> {
    /// Returns how the image itself, without its backing files, maps the byte at `offset` of the disk.
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
            Mapping::Unallocated(host) => (LocationKind::Unallocated, host, None),
            Mapping::Zero(host) => (LocationKind::Zero, host, None),
            Mapping::Data(host) => (LocationKind::Data, Some(host), None),
            Mapping::Compressed(span) => (LocationKind::Compressed, Some(span.start), Some(span.length)),
        };
        let extended = tables.geometry().extended_l2();
        Ok(Location {
            guest_offset: offset,
            l1_index: tables.geometry().l1_index(guest),
            l1_entry_offset: walk.l1_entry.map(|(offset, _)| offset.0),
            l1_entry: walk.l1_entry.map(|(_, entry)| entry.0),
            l2_table_offset: walk.l2_table.map(|table| table.0),
            l2_index: tables.geometry().l2_index(guest),
            l2_entry_offset: walk.l2_entry.map(|(offset, _)| offset.0),
            l2_entry: walk.l2_entry.map(|(_, entry)| entry.word),
            l2_bitmap: walk.l2_entry.filter(|_| extended).map(|(_, entry)| entry.bitmap),
            kind,
            host_offset: host_offset.map(|host| host.0),
            compressed_length,
        })
    }
}
