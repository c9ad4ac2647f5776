//! The snapshot table as a check reads it: as much as possible.

use alloc::vec::Vec;

use super::finding::Finding;
use super::severity::Severity;
use super::subject::Subject;
use crate::error::Error;
use crate::format::bytes::Record;
use crate::format::l1::{L1Table, MAX_L1_ENTRIES};
use crate::format::snapshot::{ALIGNMENT, EntryLayout, FIXED_BYTES, MAX_EXTRA_BYTES, MAX_SNAPSHOTS, MAX_TABLE_BYTES};
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// How many bytes of the table are read at once.
const READ_AHEAD: usize = 64 << 10;
/// The extra data that version 3 requires: the 64-bit VM state size and the disk size.
const REQUIRED_EXTRA_BYTES: u32 = 16;

/// The L1 tables of the snapshots, and the length of the snapshot table.
#[derive(Default)]
pub(in crate::image) struct SnapshotTables {
    pub(in crate::image) entries: Vec<SnapshotEntry>,
    /// The length of the snapshot table in bytes.
    pub(in crate::image) length: u64,
    /// The problems of the table. After a check error, there are no entries.
    pub(in crate::image) findings: Vec<Finding>,
}

/// An entry of the snapshot table.
#[derive(Clone, Copy, Debug)]
pub(in crate::image) struct SnapshotEntry {
    pub(in crate::image) offset: HostOffset,
    pub(in crate::image) layout: EntryLayout,
    pub(in crate::image) l1: L1Table,
    /// Whether the offset and size of the L1 table are valid; otherwise nothing of the snapshot can be read.
    pub(in crate::image) is_readable: bool,
}

impl SnapshotTables {
    /// Reads the table. Bytes past the end of the file read as zeros, as in QEMU's check.
    pub(in crate::image) async fn read<S: Storage>(subject: &Subject<'_, S>) -> Result<Self, Error<S::Error>> {
        let mut table = Self::salvage(subject).await?;
        if table.findings.iter().any(|finding| finding.severity() == Severity::CheckError) {
            table.entries.clear();
        }
        Ok(table)
    }

    /// As [`SnapshotTables::read`], but keeps the valid entries of a corrupt table.
    pub(in crate::image) async fn salvage<S: Storage>(subject: &Subject<'_, S>) -> Result<Self, Error<S::Error>> {
        let (start, count) = (subject.raw.snapshots_offset, subject.raw.nb_snapshots);
        let mut table = Self::default();
        let is_valid_offset = subject.geometry.is_cluster_aligned(start) && i64::try_from(start).is_ok();
        if count > MAX_SNAPSHOTS || !is_valid_offset {
            table.findings.push(Finding::SnapshotTable { offset: start, entries: count });
        }
        if !is_valid_offset {
            return Ok(table);
        }
        let mut window = Window { start, bytes: Vec::new() };
        let mut at = start;
        for index in 0..count.min(MAX_SNAPSHOTS) {
            let offset = at.next_multiple_of(ALIGNMENT);
            let fixed = Record(window.bytes(subject, offset, FIXED_BYTES).await?);
            let Some((layout, entry)) = parse(fixed, offset) else { break };
            let length = layout.extra();
            if length > MAX_EXTRA_BYTES {
                table.findings.push(Finding::SnapshotExtraData { offset, index, length });
            }
            if offset + layout.length() - start > MAX_TABLE_BYTES {
                table.findings.push(Finding::SnapshotTableTooLong { offset: start, index });
                break;
            }
            at = offset + layout.length();
            if subject.raw.version >= 3 && length < REQUIRED_EXTRA_BYTES {
                table.findings.push(Finding::SnapshotIncomplete { offset, index, length });
            }
            table.add(index, entry, subject);
        }
        if subject.has_data_file() && count > 0 {
            table.findings.push(Finding::SnapshotsWithDataFile { offset: start, snapshots: count });
        }
        table.length = at - start;
        Ok(table)
    }

    fn add<S: Storage>(&mut self, index: u32, mut entry: SnapshotEntry, subject: &Subject<'_, S>) {
        let (offset, l1) = (entry.offset.0, entry.l1);
        if !subject.geometry.is_cluster_aligned(l1.offset.0) {
            self.findings.push(Finding::SnapshotL1Unaligned { offset, index, l1_table: l1.offset.0 });
            entry.is_readable = false;
        } else if l1.entries > MAX_L1_ENTRIES {
            let entries = u32::try_from(l1.entries).unwrap_or(u32::MAX);
            self.findings.push(Finding::SnapshotL1TooLarge { offset, index, entries });
            entry.is_readable = false;
        }
        self.entries.push(entry);
    }
}

fn parse(fixed: Record<'_>, offset: u64) -> Option<(EntryLayout, SnapshotEntry)> {
    let layout = EntryLayout::parse_unchecked(fixed)?;
    let l1 = L1Table { offset: HostOffset(fixed.u64(0)?), entries: fixed.u32(8)?.into() };
    Some((layout, SnapshotEntry { offset: HostOffset(offset), layout, l1, is_readable: true }))
}

/// A window that moves forward through the file, read in large requests.
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Returns the `length` bytes at `at`, which is not before the window.
    async fn bytes<S: Storage>(
        &mut self,
        subject: &Subject<'_, S>,
        at: u64,
        length: u64,
    ) -> Result<&[u8], Error<S::Error>> {
        if at + length > self.start + self.bytes.len() as u64 {
            self.bytes.resize(READ_AHEAD, 0);
            self.start = at;
            subject.read_zero_padded(HostOffset(at), &mut self.bytes).await?;
        }
        let within = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(self.bytes.get(within..within.saturating_add(length)).unwrap_or_default())
    }
}
