//! Rebuilding the reference counts of an image from what its tables refer to.
//!
//! The new counts are written whole behind the end of the file, and switched to by one write of the header: until then
//! nothing of the image has changed, so a crash leaves it as it was, and the rebuilding begins again at the next opening.

use alloc::vec;
use alloc::vec::Vec;

use super::layer::Qcow2File;
use super::references::{Finder, References};
use crate::error::{Error, Misuse};
use crate::field;
use crate::format::geometry::Geometry;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry};
use crate::format::l2::{Cluster, L2Entry};
use crate::format::refcount::{RefcountWidth, TABLE_ENTRY_SIZE};
use crate::format::units::HostOffset;
use crate::storage::StorageMut;

impl<S: StorageMut> Qcow2File<S> {
    /// Rebuilds the counts of an image that was not closed properly, and takes the mark from it that says so.
    pub(super) async fn rebuild_refcounts(&self) -> Result<(), Error<S::Error>> {
        let references = Finder::new(self).find().await?;
        let width = RefcountWidth::new(self.header().raw().refcount_order);
        let plan = Rebuilt::new(self.header().geometry(), width, references)?;
        // An entry must not say that its cluster is its own where it isn't, whatever the counts.
        self.set_copied_flags(&plan, false).await?;
        plan.write(&self.files.image).await.map_err(Error::Storage)?;
        self.flush().await?;
        let mut fields = Vec::from(plan.table_place().0.to_be_bytes());
        let clusters = u32::try_from(plan.table).map_err(|_| Misuse::ImageFull)?;
        fields.extend_from_slice(&clusters.to_be_bytes());
        self.write(HostOffset(field::REFCOUNT_TABLE_OFFSET), &fields).await?;
        self.flush().await?;
        self.set_copied_flags(&plan, true).await?;
        self.flush().await?;
        let rebuilt = self.header().with_rebuilt_refcounts(plan.table_place(), clusters);
        let features = rebuilt.raw().incompatible_features.to_be_bytes();
        self.write(HostOffset(field::INCOMPATIBLE_FEATURES), &features).await?;
        self.flush().await?;
        self.current_header.set(rebuilt);
        Ok(())
    }

    /// Takes the COPIED flag from the entries of the active disk that have it and shouldn't; or gives it to those that
    /// should have it and don't.
    async fn set_copied_flags(&self, plan: &Rebuilt, give: bool) -> Result<(), Error<S::Error>> {
        let geometry = self.header().geometry();
        let l1 = self.header().l1_table();
        for index in 0..l1.entries {
            let place = l1.offset.plus(index * L1_ENTRY_SIZE);
            let entry = L1Entry(self.tables.word(&self.files.image, place).await?);
            let Ok(Some(table)) = entry.l2_table(geometry) else {
                continue;
            };
            let owned = plan.is_owned(table);
            if owned == give && entry.is_owned() != owned {
                self.write(place, &entry.with_owned(owned).0.to_be_bytes()).await?;
            }
            for index in 0..geometry.l2_entries() {
                let place = table.plus(index * geometry.l2_entry_size());
                let entry = self.tables.l2_entry(&self.files.image, place).await?;
                let owned = self.should_be_owned(entry, plan);
                if owned.is_some_and(|owned| owned == give && entry.is_owned() != owned) {
                    self.write(place, &entry.with_owned(give).word.to_be_bytes()).await?;
                }
            }
        }
        // What was written is not in the cache.
        self.tables.cache().clear();
        Ok(())
    }

    /// Whether the cluster of `entry` is its own; `None` where it has none that is counted.
    fn should_be_owned(&self, entry: L2Entry, plan: &Rebuilt) -> Option<bool> {
        match entry.decode(self.tables.rules()) {
            Ok(Cluster::Subclusters(subclusters)) if self.files.data_file.is_none() => {
                subclusters.host.map(|host| plan.is_owned(host))
            }
            _ => None,
        }
    }

    async fn write(&self, place: HostOffset, bytes: &[u8]) -> Result<(), Error<S::Error>> {
        self.files.image.write(place, bytes).await.map_err(Error::Storage)
    }

    async fn flush(&self) -> Result<(), Error<S::Error>> {
        self.files.flush().await.map_err(Error::Storage)
    }
}

/// New counts: the blocks at the end of the file, then the table.
struct Rebuilt {
    geometry: Geometry,
    width: RefcountWidth,
    references: References,
    /// How many clusters the blocks and the table take.
    blocks: u64,
    table: u64,
}

impl Rebuilt {
    fn new(geometry: Geometry, width: RefcountWidth, references: References) -> Result<Self, Misuse> {
        let per_block = 1u64 << width.block_bits(geometry.cluster_bits());
        let per_table_cluster = geometry.cluster_size() / TABLE_ENTRY_SIZE;
        let (mut blocks, mut table) = (1, 1);
        // Each round needs no fewer than the last, and a block counts at least 64 clusters, so it soon comes to rest.
        loop {
            let needed = (references.clusters() + blocks + table).div_ceil(per_block);
            let table_needed = needed.div_ceil(per_table_cluster);
            if needed <= blocks && table_needed <= table {
                break;
            }
            (blocks, table) = (blocks.max(needed), table.max(table_needed));
        }
        let too_many = |cluster| references.count(cluster) > width.max();
        if (0..references.clusters()).any(too_many) {
            return Err(Misuse::ImageFull);
        }
        Ok(Self { geometry, width, references, blocks, table })
    }

    fn first_block(&self) -> u64 {
        self.references.clusters()
    }

    fn table_place(&self) -> HostOffset {
        HostOffset((self.first_block() + self.blocks) << self.geometry.cluster_bits())
    }

    fn count(&self, cluster: u64) -> u64 {
        let new = self.first_block()..self.first_block() + self.blocks + self.table;
        if new.contains(&cluster) { 1 } else { self.references.count(cluster) }
    }

    fn is_owned(&self, place: HostOffset) -> bool {
        self.count(place.0 >> self.geometry.cluster_bits()) == 1
    }

    async fn write<S: StorageMut>(&self, file: &crate::meta::host_file::HostFile<S>) -> Result<(), S::Error> {
        let bits = self.geometry.cluster_bits();
        let mut table = Vec::new();
        for index in 0..self.blocks {
            let place = HostOffset((self.first_block() + index) << bits);
            file.write(place, &self.block(index)).await?;
            table.extend_from_slice(&place.0.to_be_bytes());
        }
        // At most 8 MiB: blocks of even the smallest kind would count 2^26 clusters.
        table.resize(usize::try_from(self.table << bits).unwrap_or(table.len()), 0);
        file.write(self.table_place(), &table).await
    }

    fn block(&self, index: u64) -> Vec<u8> {
        let block_bits = self.width.block_bits(self.geometry.cluster_bits());
        let mut words = vec![0_u64; usize::try_from(self.geometry.cluster_size() / 8).unwrap_or(0)];
        for (cluster, within) in (index << block_bits..).zip(0..1 << block_bits) {
            let place = self.width.place(within);
            if let Some(word) = words.get_mut(usize::try_from(place.word_byte / 8).unwrap_or(usize::MAX)) {
                *word = self.width.set(*word, place, self.count(cluster));
            }
        }
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }
}
