//! The layout of a new image, and writing it.

use alloc::vec;
use alloc::vec::Vec;

use super::{CreateOptions, SECTOR};
use crate::error::CreateFault;
use crate::format::geometry::Geometry;
use crate::format::header::RawHeader;
use crate::format::header::emit::{HeaderTail, emit_header};
use crate::format::header::extension::CryptoHeader;
use crate::format::header::feature;
use crate::format::l1::{L1_ENTRY_SIZE, MAX_L1_ENTRIES};
use crate::format::refcount::{RefcountWidth, TABLE_ENTRY_SIZE};
use crate::image::encryption::create::{EncryptOptions, Sealed};
use crate::storage::StorageMut;

/// A new image, ready to be written.
pub(super) struct Layout {
    disk_size: u64,
    /// The header with its extensions and names.
    header: Vec<u8>,
    geometry: Geometry,
    counts: ClusterCounts,
    /// The host offset of the LUKS header, which comes last.
    crypto_start: u64,
}

impl Layout {
    /// Checks `options` and lays out the image.
    pub(super) fn new(options: &CreateOptions) -> Result<Self, CreateFault> {
        options.check()?;
        let cluster_bits = options.cluster_size.trailing_zeros();
        let geometry =
            Geometry::new(cluster_bits, options.extended_l2).ok_or(CreateFault::ClusterSize(options.cluster_size))?;
        let size = options.size.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX);
        let largest = MAX_L1_ENTRIES.saturating_mul(geometry.l2_coverage()).min(1 << 61);
        if size > largest {
            return Err(CreateFault::DiskTooLarge { size, largest });
        }
        let refcount_order = options.refcount_bits.trailing_zeros();
        let mut header = RawHeader {
            version: options.version,
            backing_file_offset: 0,
            backing_file_size: 0,
            cluster_bits,
            size,
            crypt_method: options.encryption.as_ref().map_or(0, EncryptOptions::method),
            // At most the limit, which fits.
            l1_size: u32::try_from(geometry.l1_entries_for(size)).unwrap_or(u32::MAX),
            l1_table_offset: 0,
            refcount_table_offset: options.cluster_size,
            refcount_table_clusters: 0,
            nb_snapshots: 0,
            snapshots_offset: 0,
            incompatible_features: options.incompatible_features(),
            compatible_features: if options.lazy_refcounts { feature::LAZY_REFCOUNTS } else { 0 },
            autoclear_features: if options.data_file_raw { feature::RAW_DATA_FILE } else { 0 },
            refcount_order,
            header_length: 0,
            compression_type: options.compression.header_value(),
        };
        let crypto_bytes = options.encryption.as_ref().map_or(Ok(0), EncryptOptions::area)?;
        let crypto = crypto_bytes.div_ceil(options.cluster_size);
        let counts =
            ClusterCounts::new(geometry, RefcountWidth::new(refcount_order), u64::from(header.l1_size), crypto);
        header.refcount_table_clusters = u32::try_from(counts.refcount_table).unwrap_or(u32::MAX);
        header.l1_table_offset = (1 + counts.refcount_table + counts.refcount_blocks) << cluster_bits;
        let crypto_start = (counts.total - crypto) << cluster_bits;
        let tail = HeaderTail {
            crypto_header: (crypto > 0).then_some(CryptoHeader { offset: crypto_start, length: crypto_bytes }),
            backing_format: options.backing.as_ref().map(|(_, format)| format.name()),
            data_file_name: options.data_file.as_deref().filter(|name| !name.is_empty()),
            backing_name: options.backing.as_ref().map(|(name, _)| name.as_str()),
        };
        let bytes = emit_header(&mut header, &tail);
        if bytes.len() as u64 > options.cluster_size {
            return Err(CreateFault::NamesTooLong { length: bytes.len() as u64, cluster_size: options.cluster_size });
        }
        Ok(Self { disk_size: size, header: bytes, geometry, counts, crypto_start })
    }

    /// The size of the disk in bytes.
    pub(super) fn disk_size(&self) -> u64 {
        self.disk_size
    }

    /// Writes the image, the header last. `sealed` is the LUKS header of an encrypted image.
    pub(super) async fn write<S: StorageMut>(&self, storage: &S, sealed: Option<&Sealed>) -> Result<(), S::Error> {
        let (counts, cluster_size) = (self.counts, self.geometry.cluster_size());
        // Everything that is not written below is zero, in particular the L1 table.
        storage.set_size(0).await?;
        storage.set_size(counts.total * cluster_size).await?;
        let first_block = 1 + counts.refcount_table;
        for index in 0..counts.refcount_blocks {
            let offset = (first_block + index) * cluster_size;
            storage.write_at(offset, &self.refcount_block(index)).await?;
            storage.write_at(cluster_size + index * TABLE_ENTRY_SIZE, &offset.to_be_bytes()).await?;
        }
        if let Some(sealed) = sealed {
            sealed.write(storage, self.crypto_start).await?;
        }
        storage.flush().await?;
        storage.write_at(0, &self.header).await?;
        storage.flush().await
    }

    /// Returns refcount block `index`, up to its last nonzero refcount.
    fn refcount_block(&self, index: u64) -> Vec<u8> {
        let width = self.counts.width;
        let bits = width.block_bits(self.geometry.cluster_bits());
        let used = self.counts.total.saturating_sub(index << bits).min(1 << bits);
        let words = (used * u64::from(width.bits())).div_ceil(64);
        // At most a cluster.
        let mut block = vec![0; usize::try_from(words).unwrap_or(0)];
        for count in 0..used {
            let position = width.position(count);
            if let Some(word) = block.get_mut(usize::try_from(position.word_byte / 8).unwrap_or(usize::MAX)) {
                *word = width.set(*word, position, 1);
            }
        }
        block.iter().flat_map(|word: &u64| word.to_be_bytes()).collect()
    }
}

/// The cluster counts of a new image. After the header come the refcount table and blocks, the L1 table and the LUKS
/// header, in this order.
#[derive(Clone, Copy)]
struct ClusterCounts {
    refcount_table: u64,
    refcount_blocks: u64,
    total: u64,
    width: RefcountWidth,
}

impl ClusterCounts {
    fn new(geometry: Geometry, width: RefcountWidth, l1_entries: u64, crypto: u64) -> Self {
        let l1 = (l1_entries * L1_ENTRY_SIZE).div_ceil(geometry.cluster_size());
        let per_block = 1 << width.block_bits(geometry.cluster_bits());
        let per_table_cluster = geometry.cluster_size() / TABLE_ENTRY_SIZE;
        let (mut table, mut blocks) = (1, 1);
        // The numbers never decrease, and a block has refcounts for at least 64 clusters, so this soon converges.
        loop {
            let total = 1 + table + blocks + l1 + crypto;
            let needed = total.div_ceil(per_block);
            let table_needed = needed.div_ceil(per_table_cluster);
            if needed <= blocks && table_needed <= table {
                return Self { refcount_table: table, refcount_blocks: blocks, total, width };
            }
            (blocks, table) = (blocks.max(needed), table.max(table_needed));
        }
    }
}
