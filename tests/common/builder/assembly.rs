//! Puts an image together.

use std::collections::BTreeMap;

use super::{Builder, Built, COPIED, Cluster, compressed_entry, index, u32_of};

/// An image while it is put together: clusters are handed out from the beginning of the file.
pub(super) struct Assembly<'a> {
    plan: &'a Builder,
    bytes: Vec<u8>,
    data: Vec<u8>,
    /// By host cluster.
    references: Vec<u16>,
    /// Where the next compressed stream goes, and the end of the cluster that it is in.
    stream_at: u64,
    stream_end: u64,
    hosts: BTreeMap<u64, u64>,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(plan: &'a Builder) -> Self {
        let (bytes, data, references) = (Vec::new(), Vec::new(), Vec::new());
        Self { plan, bytes, data, references, stream_at: 0, stream_end: 0, hosts: BTreeMap::new() }
    }

    pub(super) fn finish(mut self) -> Built {
        let header = self.take(1);
        assert_eq!(header, 0);
        let (l1, l1_entries, l2) = self.mapping(&self.plan.clusters, self.plan.size, true);
        let hosts = std::mem::take(&mut self.hosts);
        let mut snapshot_l1 = Vec::new();
        for snapshot in &self.plan.snapshots {
            snapshot_l1.push(self.mapping(&snapshot.clusters, snapshot.size, false));
        }
        let (snapshot_table, snapshot_entries) = self.snapshot_table(&snapshot_l1);
        let (refcount_table, refcount_clusters) = self.refcounts();
        let mut built = Built {
            bytes: self.bytes,
            data: self.data,
            l1,
            l1_entries,
            l2,
            hosts,
            snapshot_table,
            snapshot_entries,
            snapshot_l1: snapshot_l1.iter().map(|(l1, ..)| *l1).collect(),
            extensions: u64::from(self.plan.header_length),
            plan: self.plan.clone(),
        };
        built.write_header(refcount_table, refcount_clusters);
        built
    }

    /// Hands out the next `count` clusters of the file, with one reference each.
    fn take(&mut self, count: u64) -> u64 {
        let start = self.references.len() as u64;
        self.references.resize(index(start + count), 1);
        let size = self.plan.cluster_size();
        self.bytes.resize(index((start + count) * size), 0);
        start * size
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        self.bytes[index(offset)..][..bytes.len()].copy_from_slice(bytes);
    }

    fn put_u64(&mut self, offset: u64, value: u64) {
        self.put(offset, &value.to_be_bytes());
    }

    /// An L1 table with all below it: where it is, its entries, and where its L2 tables are.
    fn mapping(
        &mut self,
        clusters: &BTreeMap<u64, Cluster>,
        size: u64,
        active: bool,
    ) -> (u64, u64, BTreeMap<u64, u64>) {
        let entries_per_table = self.plan.l2_entries();
        let needed = size.div_ceil(self.plan.l2_coverage());
        let used = clusters.keys().last().map_or(0, |last| last / entries_per_table + 1);
        let spare = if active { self.plan.spare_l1_entries } else { 0 };
        let entries = needed.max(used) + spare;
        // Even a disk of 0 bytes has an L1 table in its own cluster.
        let l1 = self.take((entries * 8).div_ceil(self.plan.cluster_size()).max(1));
        let mut tables = BTreeMap::new();
        for (guest_cluster, cluster) in clusters {
            let l1_index = guest_cluster / entries_per_table;
            let table = *tables.entry(l1_index).or_insert_with(|| self.take(1));
            self.put_u64(l1 + 8 * l1_index, table | COPIED);
            let (word, bitmap) = self.cluster(*guest_cluster, cluster);
            let entry = table + guest_cluster % entries_per_table * self.plan.l2_entry_size();
            self.put_u64(entry, word);
            if self.plan.extended_l2 {
                self.put_u64(entry + 8, bitmap);
            }
        }
        (l1, entries, tables)
    }

    /// Places a cluster, and gives its L2 entry.
    fn cluster(&mut self, guest_cluster: u64, cluster: &Cluster) -> (u64, u64) {
        const ALL: u64 = 0xffff_ffff;
        let extended = self.plan.extended_l2;
        match cluster {
            Cluster::Data(bytes) => (self.place(guest_cluster, bytes), ALL),
            Cluster::Zero if extended => (0, ALL << 32),
            Cluster::Zero => (1, 0),
            Cluster::ZeroOver(bytes) if extended => (self.place(guest_cluster, bytes), ALL << 32),
            Cluster::ZeroOver(bytes) => (self.place(guest_cluster, bytes) | 1, 0),
            Cluster::Compressed { stream, .. } => (self.place_stream(guest_cluster, stream), 0),
            Cluster::Subclusters { data, allocated, zero } => {
                let bitmap = u64::from(*zero) << 32 | u64::from(*allocated);
                let word = if *allocated == 0 { 0 } else { self.place(guest_cluster, data) };
                (word, bitmap)
            }
            Cluster::Entry(word, bitmap) => (*word, *bitmap),
        }
    }

    fn place(&mut self, guest_cluster: u64, bytes: &[u8]) -> u64 {
        assert_eq!(bytes.len() as u64, self.plan.cluster_size(), "a whole cluster");
        let offset = if self.plan.data_file.is_none() {
            let offset = self.take(1);
            self.put(offset, bytes);
            offset
        } else {
            // QEMU takes no other place for it, though the format does where the data file is not raw.
            let offset = guest_cluster * self.plan.cluster_size();
            let end = offset + self.plan.cluster_size();
            self.data.resize(self.data.len().max(index(end)), 0);
            self.data[index(offset)..index(end)].copy_from_slice(bytes);
            offset
        };
        self.hosts.insert(guest_cluster, offset);
        offset | COPIED
    }

    /// Packs streams one behind the other, unaligned, as QEMU does.
    fn place_stream(&mut self, guest_cluster: u64, stream: &[u8]) -> u64 {
        let size = self.plan.cluster_size();
        let length = (stream.len() as u64).max(1);
        if self.stream_at + length > self.stream_end {
            let missing = (self.stream_at + length - self.stream_end).div_ceil(size);
            let continues = self.stream_end == self.bytes.len() as u64 && self.stream_end > 0;
            let start = self.take(if continues { missing } else { length.div_ceil(size) });
            if !continues {
                self.stream_at = start;
            }
            self.stream_end = self.bytes.len() as u64;
            // They are counted below, for each stream that they hold a part of.
            for cluster in start / size..self.stream_end / size {
                self.references[index(cluster)] = 0;
            }
        }
        let start = self.stream_at;
        self.put(start, stream);
        self.stream_at += length;
        self.hosts.insert(guest_cluster, start);
        let sectors = (start % 512 + length).div_ceil(512);
        assert!(sectors <= 2 * size / 512, "a descriptor has no room for {length} bytes");
        let last = (start / 512 + sectors) * 512 - 1;
        for cluster in start / size..=last / size {
            self.references[index(cluster)] += 1;
        }
        compressed_entry(self.plan.cluster_bits, start, sectors - 1)
    }

    fn snapshot_table(&mut self, tables: &[(u64, u64, BTreeMap<u64, u64>)]) -> (u64, Vec<u64>) {
        if self.plan.snapshots.is_empty() {
            return (0, Vec::new());
        }
        let mut table = Vec::new();
        let mut entries = Vec::new();
        for (snapshot, (l1, l1_entries, _)) in self.plan.snapshots.iter().zip(tables) {
            table.resize(table.len().next_multiple_of(8), 0);
            entries.push(table.len() as u64);
            table.extend(l1.to_be_bytes());
            table.extend(u32_of(*l1_entries).to_be_bytes());
            table.extend(u16_of(snapshot.id.len()).to_be_bytes());
            table.extend(u16_of(snapshot.name.len()).to_be_bytes());
            table.extend(snapshot.date.0.to_be_bytes());
            table.extend(snapshot.date.1.to_be_bytes());
            table.extend(snapshot.vm_clock_nsec.to_be_bytes());
            table.extend(snapshot.vm_state_size.to_be_bytes());
            table.extend(u32_of(snapshot.extra_data.len() as u64).to_be_bytes());
            table.extend(&snapshot.extra_data);
            table.extend(snapshot.id.as_bytes());
            table.extend(snapshot.name.as_bytes());
        }
        let offset = self.take((table.len() as u64).div_ceil(self.plan.cluster_size()));
        self.put(offset, &table);
        (offset, entries.iter().map(|entry| entry + offset).collect())
    }

    /// Counts everything so far, and itself: the table's offset and its clusters.
    fn refcounts(&mut self) -> (u64, u64) {
        let size = self.plan.cluster_size();
        let per_block = size / 2;
        let (mut blocks, mut table_clusters) = (0, 0);
        loop {
            let clusters = self.references.len() as u64 + blocks + table_clusters;
            let next = (clusters.div_ceil(per_block), (blocks * 8).div_ceil(size).max(1));
            if next == (blocks, table_clusters) {
                break;
            }
            (blocks, table_clusters) = next;
        }
        let table = self.take(table_clusters);
        let first_block = self.take(blocks);
        for block in 0..blocks {
            self.put_u64(table + 8 * block, first_block + block * size);
        }
        for (cluster, count) in self.references.clone().iter().enumerate() {
            self.put(first_block + 2 * cluster as u64, &count.to_be_bytes());
        }
        (table, table_clusters)
    }
}

fn u16_of(value: usize) -> u16 {
    u16::try_from(value).expect("fits in 16 bits")
}
