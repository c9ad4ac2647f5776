//! The directory of the dirty bitmaps in an image.

use alloc::string::String;
use alloc::vec::Vec;

use super::bytes::Record;
use super::geometry::Geometry;
use crate::error::{Corrupt, HeaderTable};
use crate::format::header::extension::BitmapDirectory;

const FIXED_BYTES: u64 = 24;
const ALIGNMENT: u64 = 8;
/// The position of the flags in an entry.
const FLAGS_AT: u64 = 12;
/// QEMU's limits.
pub(crate) const MAX_BITMAPS: u32 = 65_535;
const MAX_DIRECTORY_BYTES: u64 = 65_535 << 10;
pub(crate) const GRANULARITY_BITS: core::ops::RangeInclusive<u8> = 9..=31;
pub(crate) const MAX_NAME: u16 = 1023;

const FLAG_IN_USE: u32 = 1 << 0;
const FLAG_AUTO: u32 = 1 << 1;

/// An entry of a bitmap table: bits 9 to 55 are the offset of a cluster of the bitmap.
pub(crate) const BITMAP_ENTRY_SIZE: u64 = 8;
pub(crate) const BITMAP_OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;

/// QEMU's limits on a bitmap table, and on the bitmap itself.
const MAX_TABLE_ENTRIES: u32 = 1 << 27;
pub(crate) const MAX_BITMAP_BYTES: u64 = 512 << 20;
/// The only bitmap type that the format defines.
const DIRTY_TRACKING: u8 = 1;

/// The location of a bitmap table, and the fields of its directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BitmapTable {
    pub(crate) offset: u64,
    pub(crate) entries: u32,
    flags: u32,
    kind: u8,
    granularity_bits: u8,
    extra_bytes: u32,
}

impl BitmapTable {
    /// Returns the table of a bitmap that is not in use, so that it is stored completely.
    pub(crate) fn new(offset: u64, entries: u32, granularity_bits: u8) -> Self {
        Self { offset, entries, flags: 0, kind: DIRTY_TRACKING, granularity_bits, extra_bytes: 0 }
    }

    pub(crate) fn granularity_bits(self) -> u8 {
        self.granularity_bits
    }

    /// Returns whether QEMU accepts the bitmap for a disk of `disk_size` bytes.
    pub(crate) fn is_allowed(self, geometry: Geometry, disk_size: u64) -> bool {
        const KNOWN_FLAGS: u32 = FLAG_IN_USE | FLAG_AUTO | 1 << 2;
        let has_table = self.offset != 0 && geometry.is_cluster_aligned(self.offset);
        let bytes = u64::from(self.entries) << geometry.cluster_bits();
        let bits = disk_size.div_ceil(1 << self.granularity_bits);
        let needed = bits.div_ceil(8).div_ceil(geometry.cluster_size());
        has_table
            && i64::try_from(self.offset).is_ok()
            && (1..=MAX_TABLE_ENTRIES).contains(&self.entries)
            && bytes <= MAX_BITMAP_BYTES
            && self.flags & !KNOWN_FLAGS == 0
            && self.kind == DIRTY_TRACKING
            && self.extra_bytes == 0
            // A bitmap that is in use may not have been stored since the disk had another size.
            && (self.flags & FLAG_IN_USE != 0 || u64::from(self.entries) == needed)
    }
}

/// A dirty bitmap in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitmapInfo {
    /// The name, unique within the image.
    pub name: String,
    /// The number of disk bytes per bit: a power of two from 512.
    pub granularity: u64,
    /// The bitmap was not stored when the image was last written, so its contents can't be trusted.
    pub in_use: bool,
    /// A program that writes the disk must update the bitmap.
    pub auto: bool,
}

impl BitmapDirectory {
    /// Returns the size of the directory in bytes. Fails if it exceeds QEMU's limits.
    pub(crate) fn checked_size(self) -> Result<usize, Corrupt> {
        let too_large = Corrupt::TableTooLarge { table: HeaderTable::Bitmaps, count: self.size };
        if self.size > MAX_DIRECTORY_BYTES || self.bitmaps > MAX_BITMAPS {
            return Err(too_large);
        }
        usize::try_from(self.size).map_err(|_| too_large)
    }

    /// Returns the bitmap tables of a directory. Fails if the directory contains other bytes as well.
    pub(crate) fn tables(self, bytes: &[u8]) -> Result<Vec<BitmapTable>, Corrupt> {
        let (entries, end) = self.entries_and_end(bytes)?;
        if end != self.size {
            return Err(Corrupt::BitmapEntry { index: self.bitmaps, directory: self.offset });
        }
        Ok(entries.into_iter().map(|(_, table)| table).collect())
    }

    /// Returns the bitmaps of the directory, with their tables.
    pub(crate) fn entries(self, bytes: &[u8]) -> Result<Vec<(BitmapInfo, BitmapTable)>, Corrupt> {
        Ok(self.entries_and_end(bytes)?.0)
    }

    /// Returns for each of `entries`, which form the directory, the host offset and the value of its flags.
    pub(crate) fn flag_offsets(self, entries: &[(&str, u32, BitmapTable)]) -> Vec<(u64, u32)> {
        let mut at = self.offset;
        let mut offsets = Vec::new();
        for (name, flags, _) in entries {
            offsets.push((at + FLAGS_AT, *flags));
            at += entry_size(name);
        }
        offsets
    }

    fn entries_and_end(self, bytes: &[u8]) -> Result<(Vec<(BitmapInfo, BitmapTable)>, u64), Corrupt> {
        let mut list = Vec::new();
        let mut at = 0;
        for index in 0..self.bitmaps {
            let corrupt = Corrupt::BitmapEntry { index, directory: self.offset };
            let (entry, next) = parse_entry(Record(bytes), at).ok_or(corrupt)?;
            list.push(entry);
            at = next;
        }
        Ok((list, at))
    }
}

/// Returns the flags of a bitmap.
pub(crate) fn flags(in_use: bool, auto: bool) -> u32 {
    (u32::from(in_use) * FLAG_IN_USE) | (u32::from(auto) * FLAG_AUTO)
}

/// Returns `flags` with the in-use flag.
pub(crate) fn in_use(flags: u32) -> u32 {
    flags | FLAG_IN_USE
}

/// Returns the bytes of a directory, given the name, the flags and the table of each bitmap.
pub(crate) fn emit_directory(entries: &[(&str, u32, BitmapTable)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, flags, table) in entries {
        bytes.extend_from_slice(&table.offset.to_be_bytes());
        bytes.extend_from_slice(&table.entries.to_be_bytes());
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&[table.kind, table.granularity_bits]);
        bytes.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(&0u32.to_be_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

fn entry_size(name: &str) -> u64 {
    (FIXED_BYTES + name.len() as u64).next_multiple_of(ALIGNMENT)
}

/// Parses the entry at `at`. Returns it and the position of the next one.
fn parse_entry(record: Record<'_>, at: u64) -> Option<((BitmapInfo, BitmapTable), u64)> {
    let flags = record.u32(at + 12)?;
    let granularity_bits = record.u8(at + 17).filter(|bits| GRANULARITY_BITS.contains(bits))?;
    let name_length = record.u16(at + 18).filter(|length| *length <= MAX_NAME)?;
    let extra_bytes = record.u32(at + 20)?;
    let name_at = at + FIXED_BYTES + u64::from(extra_bytes);
    let name = record.slice(name_at, u64::from(name_length))?;
    let bitmap = BitmapInfo {
        name: String::from_utf8_lossy(name).into_owned(),
        granularity: 1 << granularity_bits,
        in_use: flags & FLAG_IN_USE != 0,
        auto: flags & FLAG_AUTO != 0,
    };
    let table = BitmapTable {
        offset: record.u64(at)?,
        entries: record.u32(at + 8)?,
        flags,
        kind: record.u8(at + 16)?,
        granularity_bits,
        extra_bytes,
    };
    Some(((bitmap, table), (name_at + u64::from(name_length)).next_multiple_of(ALIGNMENT)))
}
