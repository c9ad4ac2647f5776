//! Entries of the snapshot table.

use alloc::string::String;
use alloc::vec::Vec;

use super::bytes::Record;
use super::l1::L1Table;
use super::units::HostOffset;
use crate::error::Corrupt;

/// The bytes of an entry before its extra data.
pub(crate) const FIXED_BYTES: u64 = 40;
/// Entries begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;
/// QEMU's limit on the whole table.
pub(crate) const MAX_TABLE_BYTES: u64 = 64 << 20;
/// QEMU's limit on an entry's extra data.
pub(crate) const MAX_EXTRA_BYTES: u32 = 1024;
/// QEMU's limit on the number of snapshots.
pub(crate) const MAX_SNAPSHOTS: u32 = 65_536;
/// The length of the known extra data: 64-bit VM state size, disk size and instruction count.
const KNOWN_EXTRA_BYTES: u64 = 24;
/// The instruction count of a machine that doesn't count instructions.
const NO_ICOUNT: u64 = u64::MAX;

/// A snapshot, as recorded in the snapshot table of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The id, unique within the image. QEMU uses decimal numbers.
    pub id: String,
    /// The name.
    pub name: String,
    /// The time of creation, in seconds since 1970.
    pub date_sec: u32,
    /// The nanoseconds of that second.
    pub date_nsec: u32,
    /// The running time of the machine, in nanoseconds.
    pub vm_clock_nsec: u64,
    /// The length of the saved VM state in bytes; 0 without a VM state.
    pub vm_state_size: u64,
    /// The disk size in bytes at the creation of the snapshot; an old image may not record it.
    pub disk_size: Option<u64>,
    /// The number of instructions that the machine had executed, if it counted them.
    pub icount: Option<u64>,
    /// The host offset of the snapshot's L1 table, in bytes.
    pub l1_table_offset: u64,
    /// The number of entries of its L1 table.
    pub l1_entries: u32,
    /// Extra data of an unknown kind.
    pub unknown_extra_data: Vec<u8>,
}

impl Snapshot {
    pub(crate) fn l1_table(&self) -> L1Table {
        L1Table { offset: HostOffset(self.l1_table_offset), entries: u64::from(self.l1_entries) }
    }

    /// Returns the table entry of a new snapshot. The name and the id have at most 65,535 bytes each.
    pub(crate) fn to_entry(&self) -> Vec<u8> {
        let mut entry = Vec::new();
        let mut put = |field: &[u8]| entry.extend_from_slice(field);
        let length = |text: &str| u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
        put(&self.l1_table_offset.to_be_bytes());
        put(&self.l1_entries.to_be_bytes());
        put(&length(&self.id));
        put(&length(&self.name));
        put(&self.date_sec.to_be_bytes());
        put(&self.date_nsec.to_be_bytes());
        put(&self.vm_clock_nsec.to_be_bytes());
        // The 32-bit size is 0 where the real one doesn't fit.
        put(&u32::try_from(self.vm_state_size).unwrap_or(0).to_be_bytes());
        put(&u32::try_from(KNOWN_EXTRA_BYTES).unwrap_or(u32::MAX).to_be_bytes());
        put(&self.vm_state_size.to_be_bytes());
        put(&self.disk_size.unwrap_or(0).to_be_bytes());
        put(&self.icount.unwrap_or(NO_ICOUNT).to_be_bytes());
        put(self.id.as_bytes());
        put(self.name.as_bytes());
        entry
    }
}

/// The lengths of the variable fields of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryLayout {
    id: u16,
    name: u16,
    extra: u32,
}

impl EntryLayout {
    /// Parses the first [`FIXED_BYTES`] of entry `index`, which is at host offset `offset`.
    pub(crate) fn parse(fixed: &[u8], index: u32, offset: u64) -> Result<Self, Corrupt> {
        let layout = Self::parse_unchecked(Record(fixed)).ok_or(Corrupt::SnapshotTruncated { index, offset })?;
        // Version 3 requires 16 bytes, but QEMU also opens images with fewer, which older programs wrote.
        if layout.extra() > MAX_EXTRA_BYTES {
            return Err(Corrupt::SnapshotExtraData { index, offset, length: layout.extra() });
        }
        Ok(layout)
    }

    /// Parses like [`EntryLayout::parse`], but accepts extra data of any length.
    pub(crate) fn parse_unchecked(fixed: Record<'_>) -> Option<Self> {
        Some(Self { id: fixed.u16(12)?, name: fixed.u16(14)?, extra: fixed.u32(36)? })
    }

    /// Returns the length of the extra data in bytes.
    pub(crate) fn extra(self) -> u32 {
        self.extra
    }

    /// Returns the length of the entry in bytes, without padding: at most 40 + 1024 + 2 × 65535.
    pub(crate) fn length(self) -> u64 {
        FIXED_BYTES + u64::from(self.extra) + u64::from(self.id) + u64::from(self.name)
    }

    /// Returns the entry with another name. `None` if the name has more than 65,535 bytes, or `entry` is too short.
    pub(crate) fn renamed(self, entry: &[u8], name: &str) -> Option<Vec<u8>> {
        let before_name = Record(entry).slice(0, self.length() - u64::from(self.name))?;
        let mut renamed = [before_name, name.as_bytes()].concat();
        renamed.get_mut(14..16)?.copy_from_slice(&u16::try_from(name.len()).ok()?.to_be_bytes());
        Some(renamed)
    }

    /// Returns the snapshot that `entry` describes; `None` if `entry` is shorter than [`EntryLayout::length`].
    pub(crate) fn read(self, entry: &[u8]) -> Option<Snapshot> {
        let record = Record(entry);
        let (extra_length, id_length) = (u64::from(self.extra), u64::from(self.id));
        let extra = Record(record.slice(FIXED_BYTES, extra_length)?);
        let id_at = FIXED_BYTES + extra_length;
        Some(Snapshot {
            l1_table_offset: record.u64(0)?,
            l1_entries: record.u32(8)?,
            date_sec: record.u32(16)?,
            date_nsec: record.u32(20)?,
            vm_clock_nsec: record.u64(24)?,
            // The 32-bit size is 0 where the real one doesn't fit.
            vm_state_size: extra.u64(0).map_or_else(|| record.u32(32).map(u64::from), Some)?,
            disk_size: extra.u64(8),
            icount: extra.u64(16).filter(|count| *count != NO_ICOUNT),
            unknown_extra_data: extra
                .slice(KNOWN_EXTRA_BYTES, extra_length.saturating_sub(KNOWN_EXTRA_BYTES))
                .map(<[u8]>::to_vec)
                .unwrap_or_default(),
            id: text(record.slice(id_at, id_length)?),
            name: text(record.slice(id_at + id_length, self.name.into())?),
        })
    }
}

/// Returns `old` as an entry that version 3 allows.
///
/// It has at least the known extra data, and at most the extra data that QEMU accepts.
pub(crate) fn rewritten_entry(layout: EntryLayout, old: &[u8], l1_table: HostOffset, disk_size: u64) -> Vec<u8> {
    let record = Record(old);
    let slice = |at, length| record.slice(at, length).unwrap_or_default();
    let extra_length = u64::from(layout.extra);
    let mut extra = slice(FIXED_BYTES, extra_length.min(MAX_EXTRA_BYTES.into())).to_vec();
    let vm_state_size = record.u32(32).map_or(0, u64::from);
    for (at, value) in [(0, vm_state_size), (8, disk_size), (16, NO_ICOUNT)] {
        if extra.len() < at + 8 {
            extra.resize(at, 0);
            extra.extend_from_slice(&value.to_be_bytes());
        }
    }
    let mut entry = Vec::from(l1_table.0.to_be_bytes());
    entry.extend_from_slice(slice(8, FIXED_BYTES - 8 - 4));
    entry.extend_from_slice(&u32::try_from(extra.len()).unwrap_or(MAX_EXTRA_BYTES).to_be_bytes());
    entry.extend_from_slice(&extra);
    entry.extend_from_slice(slice(FIXED_BYTES + extra_length, u64::from(layout.id) + u64::from(layout.name)));
    entry
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
