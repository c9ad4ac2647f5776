//! References of an image's tables to clusters past the end of its file.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::Error;
use crate::format::header::Header;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry};
use crate::format::l2::{L2Entry, L2Rules};
use crate::format::l2_corruption::Target;
use crate::format::refcount::{RefcountWidth, TABLE_ENTRY_SIZE, TABLE_OFFSET_MASK};
use crate::format::units::{HostOffset, usize_of};
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

/// The most L2 tables that are read: the last ones, because a truncated file lacks its end.
const MAX_TABLES: usize = 64;
/// The longest refcount table: 8 MiB.
const MAX_TABLE_ENTRIES: u64 = 1 << 20;
/// How many bytes of the refcount table are read at once.
const READ_SIZE: usize = 64 << 10;

/// Returns how many bytes of L2 tables and clusters of the active disk are past the end of the file.
///
/// If there are many tables, the result is a lower bound. Two requests are enough for an intact image, which has no
/// nonzero refcounts past its end.
///
pub(super) async fn missing_bytes<S: Storage>(
    file: &HostFile<S>,
    data_file: Option<&HostFile<S>>,
    header: &Header,
) -> Result<u64, Error<S::Error>> {
    let missing = Missing { file, data_file, header };
    if missing.is_anything_counted_past_the_end().await? { missing.count().await } else { Ok(0) }
}

struct Missing<'a, S> {
    file: &'a HostFile<S>,
    data_file: Option<&'a HostFile<S>>,
    header: &'a Header,
}

impl<S: Storage> Missing<'_, S> {
    /// Whether the refcounts, or the length of the data file, suggest that something is missing.
    async fn is_anything_counted_past_the_end(&self) -> Result<bool, Error<S::Error>> {
        if self.data_file.is_some_and(|data| data.size() < self.header.disk_size()) {
            return Ok(true);
        }
        let (raw, geometry) = (self.header.raw(), self.header.geometry());
        let entries = (u64::from(raw.refcount_table_clusters) << geometry.cluster_bits()) / TABLE_ENTRY_SIZE;
        // An invalid table has no information. The header is not refused for it, because the disk does not need it.
        if raw.refcount_order > 6 || !(1..=MAX_TABLE_ENTRIES).contains(&entries) {
            return Ok(true);
        }
        let width = RefcountWidth::new(raw.refcount_order);
        let block_bits = width.block_bits(geometry.cluster_bits());
        // The last cluster of a file may be incomplete.
        let end = self.file.size().div_ceil(geometry.cluster_size());
        let mut segment = vec![0; READ_SIZE];
        let mut index = end >> block_bits;
        while index < entries {
            let length = usize_of((entries - index) * TABLE_ENTRY_SIZE).min(READ_SIZE);
            let Some(segment) = segment.get_mut(..length) else { break };
            let offset = HostOffset(raw.refcount_table_offset.saturating_add(index * TABLE_ENTRY_SIZE));
            self.file.read(offset, segment).await.map_err(Error::Storage)?;
            for entry in segment.as_chunks::<8>().0 {
                let offset = u64::from_be_bytes(*entry) & TABLE_OFFSET_MASK;
                if offset != 0 {
                    // Only the block that covers the end of the file may have refcounts of clusters before it.
                    if index << block_bits >= end || offset >= self.file.size() {
                        return Ok(true);
                    }
                    let block = self.read_entries(HostOffset(offset), geometry.cluster_size()).await?;
                    let first = end - (index << block_bits);
                    if (first..1 << block_bits).any(|number| refcount_in(&block, width, number) != 0) {
                        return Ok(true);
                    }
                }
                index += 1;
            }
        }
        Ok(false)
    }

    async fn count(&self) -> Result<u64, Error<S::Error>> {
        let (geometry, l1) = (self.header.geometry(), self.header.l1_table());
        let rules = L2Rules { geometry, zero_flag: self.header.is_version_3(), data_file: self.header.has_data_file() };
        let entries = self.read_entries(l1.offset, l1.entries * L1_ENTRY_SIZE).await?;
        let cluster_size = geometry.cluster_size();
        let (mut missing, mut tables) = (0_u64, 0);
        for entry in entries.as_chunks::<8>().0.iter().rev() {
            let Ok(Some(table)) = L1Entry(u64::from_be_bytes(*entry)).l2_table(geometry) else { continue };
            if self.is_past_end(self.file, table.0..table.plus(cluster_size).0) {
                missing = missing.saturating_add(cluster_size);
            } else if tables < MAX_TABLES {
                tables += 1;
                let table = self.read_entries(table, cluster_size).await?;
                missing = missing.saturating_add(self.missing_of(&table, rules));
            }
        }
        Ok(missing)
    }

    /// Reads the `length` bytes of a table at `offset`, up to the end of the file, so that no claim of a header takes
    /// more memory than the file has. An incomplete last entry is padded with zeros.
    async fn read_entries(&self, offset: HostOffset, length: u64) -> Result<Vec<u8>, Error<S::Error>> {
        let mut bytes = self.file.read_up_to(offset, length).await.map_err(Error::Storage)?;
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        Ok(bytes)
    }

    /// The missing bytes of the clusters of an L2 table.
    fn missing_of(&self, table: &[u8], rules: L2Rules) -> u64 {
        let size = usize_of(rules.geometry.l2_entry_size());
        let data = self.data_file.unwrap_or(self.file);
        let missing = table.chunks_exact(size).map(|bytes| match L2Entry::from_bytes(bytes).examine(rules, |_| {}) {
            Target::Cluster(start) => {
                let cluster_size = rules.geometry.cluster_size();
                let is_missing = self.is_past_end(data, start.0..start.plus(cluster_size).0);
                if is_missing { cluster_size } else { 0 }
            }
            Target::Compressed(span) => {
                let is_missing = self.is_past_end(self.file, span.start.0..span.end().0);
                if is_missing { span.length } else { 0 }
            }
            Target::Nothing => 0,
        });
        missing.fold(0, u64::saturating_add)
    }

    /// As in a check, the last cluster of a file may be incomplete.
    fn is_past_end(&self, file: &HostFile<S>, range: Range<u64>) -> bool {
        range.end >= file.size().next_multiple_of(512).saturating_add(self.header.geometry().cluster_size())
    }
}

/// Returns refcount `number` of a refcount block.
fn refcount_in(block: &[u8], width: RefcountWidth, number: u64) -> u64 {
    let position = width.position(number);
    let word = block.get(usize_of(position.word_byte)..).and_then(<[u8]>::first_chunk::<8>);
    word.map_or(0, |word| width.get(u64::from_be_bytes(*word), position))
}
