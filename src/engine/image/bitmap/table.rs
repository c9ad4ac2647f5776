//! The table of a bitmap in the file.

use alloc::vec;
use alloc::vec::Vec;

use super::Bitmap;
use crate::error::Error;
use crate::format::bitmap::{BITMAP_ENTRY_SIZE, BITMAP_OFFSET_MASK, BitmapTable};
use crate::format::geometry::Geometry;
use crate::format::units::HostOffset;
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

/// An entry of a bitmap's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// No bit is set.
    Zeros,
    /// Every bit is set.
    Ones,
    /// The bits are in this cluster.
    At(HostOffset),
}

impl Part {
    /// Decodes an entry.
    pub(super) fn of(entry: u64) -> Self {
        match entry & BITMAP_OFFSET_MASK {
            0 if entry & 1 == 1 => Self::Ones,
            0 => Self::Zeros,
            offset => Self::At(HostOffset(offset)),
        }
    }

    /// Encodes the entry.
    pub(super) fn entry(self) -> u64 {
        match self {
            Self::Zeros => 0,
            Self::Ones => 1,
            Self::At(offset) => offset.0,
        }
    }

    /// Reads the bytes of the bitmap that this entry covers.
    pub(super) async fn read<S: Storage>(
        self,
        file: &HostFile<S>,
        geometry: Geometry,
    ) -> Result<Vec<u8>, Error<S::Error>> {
        let length = usize::try_from(geometry.cluster_size()).unwrap_or(usize::MAX);
        match self {
            Self::Zeros => Ok(vec![0; length]),
            Self::Ones => Ok(vec![0xff; length]),
            Self::At(offset) => {
                // Past the end of the file, no bit is set.
                let mut bytes = file.read_up_to(offset, length as u64).await.map_err(Error::Storage)?;
                bytes.resize(length, 0);
                Ok(bytes)
            }
        }
    }
}

/// Reads one entry of a bitmap's table.
pub(super) async fn part<S: Storage>(
    file: &HostFile<S>,
    table: Option<BitmapTable>,
    index: u64,
) -> Result<Part, Error<S::Error>> {
    let Some(table) = table.filter(|table| index < u64::from(table.entries)) else { return Ok(Part::Zeros) };
    let offset = HostOffset(table.offset).plus(index * BITMAP_ENTRY_SIZE);
    let bytes = file.read_up_to(offset, BITMAP_ENTRY_SIZE).await.map_err(Error::Storage)?;
    Ok(bytes.first_chunk().map_or(Part::Zeros, |entry| Part::of(u64::from_be_bytes(*entry))))
}

/// Reads all entries of a bitmap's table.
pub(super) async fn parts<S: Storage>(
    file: &HostFile<S>,
    table: Option<BitmapTable>,
) -> Result<Vec<Part>, Error<S::Error>> {
    let Some(table) = table else { return Ok(Vec::new()) };
    let length = u64::from(table.entries) * BITMAP_ENTRY_SIZE;
    let bytes = file.read_up_to(HostOffset(table.offset), length).await.map_err(Error::Storage)?;
    let (entries, _) = bytes.as_chunks::<8>();
    Ok(entries.iter().map(|entry| Part::of(u64::from_be_bytes(*entry))).collect())
}

impl Bitmap {
    /// The number of table entries for a disk of this size.
    pub(super) fn table_entries(&self, disk_size: u64, geometry: Geometry) -> u64 {
        let bits = disk_size.div_ceil(1 << self.granularity_bits);
        bits.div_ceil(8).div_ceil(geometry.cluster_size())
    }
}
