//! Assembles qcow2 images from scratch, byte by byte, so that a test can make any image, and then
//! break it at a place that it knows.
//!
//! What it makes is clean by `qemu-img check` unless the test asks for something else.

use std::collections::BTreeMap;

use super::index;

/// Offsets of the header's fields.
pub mod field {
    pub const MAGIC: u64 = 0;
    pub const VERSION: u64 = 4;
    pub const BACKING_FILE_OFFSET: u64 = 8;
    pub const BACKING_FILE_SIZE: u64 = 16;
    pub const CLUSTER_BITS: u64 = 20;
    pub const SIZE: u64 = 24;
    pub const CRYPT_METHOD: u64 = 32;
    pub const L1_SIZE: u64 = 36;
    pub const L1_TABLE_OFFSET: u64 = 40;
    pub const REFCOUNT_TABLE_OFFSET: u64 = 48;
    pub const REFCOUNT_TABLE_CLUSTERS: u64 = 56;
    pub const NB_SNAPSHOTS: u64 = 60;
    pub const SNAPSHOTS_OFFSET: u64 = 64;
    pub const INCOMPATIBLE: u64 = 72;
    pub const COMPATIBLE: u64 = 80;
    pub const AUTOCLEAR: u64 = 88;
    pub const REFCOUNT_ORDER: u64 = 96;
    pub const HEADER_LENGTH: u64 = 100;
    pub const COMPRESSION_TYPE: u64 = 104;
}

pub mod extension {
    pub const BACKING_FORMAT: u32 = 0xe279_2aca;
    pub const FEATURE_NAMES: u32 = 0x6803_f857;
    pub const BITMAPS: u32 = 0x2385_2875;
    pub const CRYPTO_HEADER: u32 = 0x0537_be77;
    pub const DATA_FILE: u32 = 0x4441_5441;
}

pub const COPIED: u64 = 1 << 63;
pub const COMPRESSED: u64 = 1 << 62;
const DATA_FILE_BIT: u64 = 1 << 2;
const COMPRESSION_BIT: u64 = 1 << 3;
const EXTENDED_L2_BIT: u64 = 1 << 4;
const RAW_DATA_BIT: u64 = 1 << 1;

/// What a guest cluster is made of.
#[derive(Clone, Debug)]
pub enum Cluster {
    /// Allocated, with these bytes: a whole cluster.
    Data(Vec<u8>),
    /// Zero without an allocation.
    Zero,
    /// Zero over an allocation that holds these bytes, which nobody should ever see.
    ZeroOver(Vec<u8>),
    /// A compressed stream; it should read as `unpacked`.
    Compressed { stream: Vec<u8>, unpacked: Vec<u8> },
    /// For extended L2: which of the 32 subclusters are in `data`, and which are zero.
    Subclusters { data: Vec<u8>, allocated: u32, zero: u32 },
    /// An entry of the L2 table as it is, and its bitmap: for what the format does not allow.
    Entry(u64, u64),
}

/// An image to be. Public fields: a test sets what its sentence is about.
#[derive(Clone, Debug)]
pub struct Builder {
    pub version: u32,
    pub cluster_bits: u32,
    pub size: u64,
    pub extended_l2: bool,
    pub zstd: bool,
    pub backing: Option<(String, Option<String>)>,
    pub data_file: Option<DataFile>,
    pub extensions: Vec<(u32, Vec<u8>)>,
    pub clusters: BTreeMap<u64, Cluster>,
    pub snapshots: Vec<SnapshotPlan>,
    pub header_length: u32,
    /// Entries of the L1 table beyond what the disk needs.
    pub spare_l1_entries: u64,
}

#[derive(Clone, Debug)]
pub struct DataFile {
    pub name: String,
    pub raw: bool,
}

/// A snapshot to be; its clusters are its own.
#[derive(Clone, Debug)]
pub struct SnapshotPlan {
    pub id: String,
    pub name: String,
    pub date: (u32, u32),
    pub vm_clock_nsec: u64,
    /// The 32-bit field.
    pub vm_state_size: u32,
    pub extra_data: Vec<u8>,
    /// How much of the disk the L1 table covers.
    pub size: u64,
    pub clusters: BTreeMap<u64, Cluster>,
}

/// An image, and where everything in it is.
#[derive(Clone, Debug)]
pub struct Built {
    pub bytes: Vec<u8>,
    /// The external data file; empty where there is none.
    pub data: Vec<u8>,
    pub l1: u64,
    pub l1_entries: u64,
    /// By L1 index.
    pub l2: BTreeMap<u64, u64>,
    /// By guest cluster: where its bytes, or its compressed stream, begin.
    pub hosts: BTreeMap<u64, u64>,
    pub snapshot_table: u64,
    /// By snapshot, where its entry begins.
    pub snapshot_entries: Vec<u64>,
    pub snapshot_l1: Vec<u64>,
    pub extensions: u64,
    plan: Builder,
}

impl Builder {
    /// An empty image of version 3.
    pub fn new(cluster_size: u64, size: u64) -> Self {
        Self {
            version: 3,
            cluster_bits: cluster_size.trailing_zeros(),
            size,
            extended_l2: false,
            zstd: false,
            backing: None,
            data_file: None,
            extensions: Vec::new(),
            clusters: BTreeMap::new(),
            snapshots: Vec::new(),
            header_length: 112,
            spare_l1_entries: 0,
        }
    }

    pub fn version_2(mut self) -> Self {
        self.version = 2;
        self.header_length = 72;
        self
    }

    pub fn extended(mut self) -> Self {
        self.extended_l2 = true;
        self
    }

    pub fn zstd(mut self) -> Self {
        self.zstd = true;
        self
    }

    pub fn backed_by(mut self, name: &str, format: Option<&str>) -> Self {
        self.backing = Some((name.into(), format.map(Into::into)));
        self
    }

    pub fn with_data_file(mut self, name: &str, raw: bool) -> Self {
        self.data_file = Some(DataFile { name: name.into(), raw });
        self
    }

    pub fn with(mut self, guest_cluster: u64, cluster: Cluster) -> Self {
        self.clusters.insert(guest_cluster, cluster);
        self
    }

    /// Adds an allocated cluster that is full of `byte`.
    pub fn with_data(self, guest_cluster: u64, byte: u8) -> Self {
        let bytes = vec![byte; index(self.cluster_size())];
        self.with(guest_cluster, Cluster::Data(bytes))
    }

    pub fn with_extension(mut self, kind: u32, data: impl Into<Vec<u8>>) -> Self {
        self.extensions.push((kind, data.into()));
        self
    }

    pub fn with_snapshot(mut self, snapshot: SnapshotPlan) -> Self {
        self.snapshots.push(snapshot);
        self
    }

    pub fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    pub fn l2_entry_size(&self) -> u64 {
        if self.extended_l2 { 16 } else { 8 }
    }

    pub fn l2_entries(&self) -> u64 {
        self.cluster_size() / self.l2_entry_size()
    }

    pub fn l2_coverage(&self) -> u64 {
        self.l2_entries() * self.cluster_size()
    }

    pub fn build(&self) -> Built {
        Assembly::new(self).finish()
    }

    /// What the disk should read as, over `backing`; entries made by hand are taken as unallocated.
    pub fn contents(&self, backing: &[u8]) -> Vec<u8> {
        contents(self.size, self.cluster_size(), &self.clusters, backing)
    }
}

impl SnapshotPlan {
    /// A snapshot of a disk of `size` bytes, as QEMU writes it.
    pub fn new(id: &str, name: &str, size: u64) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            date: (1_700_000_000, 0),
            vm_clock_nsec: 0,
            vm_state_size: 0,
            extra_data: extra_data(0, size, u64::MAX),
            size,
            clusters: BTreeMap::new(),
        }
    }

    pub fn with(mut self, guest_cluster: u64, cluster: Cluster) -> Self {
        self.clusters.insert(guest_cluster, cluster);
        self
    }

    pub fn contents(&self, cluster_size: u64, backing: &[u8]) -> Vec<u8> {
        contents(self.size, cluster_size, &self.clusters, backing)
    }
}

/// The extra data of a snapshot that QEMU writes.
pub fn extra_data(vm_state_size: u64, disk_size: u64, icount: u64) -> Vec<u8> {
    [vm_state_size, disk_size, icount].iter().flat_map(|field| field.to_be_bytes()).collect()
}

impl Built {
    pub fn set_u16(mut self, offset: u64, value: u16) -> Self {
        self.set(offset, &value.to_be_bytes());
        self
    }

    pub fn set_u32(mut self, offset: u64, value: u32) -> Self {
        self.set(offset, &value.to_be_bytes());
        self
    }

    pub fn set_u64(mut self, offset: u64, value: u64) -> Self {
        self.set(offset, &value.to_be_bytes());
        self
    }

    pub fn set(&mut self, offset: u64, bytes: &[u8]) {
        self.bytes[index(offset)..][..bytes.len()].copy_from_slice(bytes);
    }

    pub fn u64_at(&self, offset: u64) -> u64 {
        let bytes = self.bytes[index(offset)..][..8].try_into().expect("eight bytes");
        u64::from_be_bytes(bytes)
    }

    pub fn truncated(mut self, length: u64) -> Self {
        self.bytes.truncate(index(length));
        self
    }

    /// Where the L1 entry of that index is.
    pub fn l1_entry(&self, index: u64) -> u64 {
        self.l1 + 8 * index
    }

    /// Where the L2 entry of a guest cluster is.
    pub fn l2_entry(&self, guest_cluster: u64) -> u64 {
        let entries = self.plan.l2_entries();
        let table = self.l2[&(guest_cluster / entries)];
        table + guest_cluster % entries * self.plan.l2_entry_size()
    }

    pub fn contents(&self, backing: &[u8]) -> Vec<u8> {
        self.plan.contents(backing)
    }
}

fn contents(size: u64, cluster_size: u64, clusters: &BTreeMap<u64, Cluster>, backing: &[u8]) -> Vec<u8> {
    let mut disk = backing[..backing.len().min(index(size))].to_vec();
    disk.resize(index(size), 0);
    for (guest_cluster, cluster) in clusters {
        let start = guest_cluster * cluster_size;
        if start >= size {
            continue;
        }
        let end = (start + cluster_size).min(size);
        cluster.paint(&mut disk[index(start)..index(end)], index(cluster_size));
    }
    disk
}

impl Cluster {
    /// Puts what this cluster says over what the backing file has.
    fn paint(&self, guest: &mut [u8], cluster_size: usize) {
        match self {
            Self::Data(bytes) | Self::Compressed { unpacked: bytes, .. } => {
                guest.copy_from_slice(&bytes[..guest.len()]);
            }
            Self::Zero | Self::ZeroOver(_) => guest.fill(0),
            Self::Subclusters { data, allocated, zero } => {
                let pieces = guest.chunks_mut(cluster_size / 32).zip(data.chunks(cluster_size / 32));
                for (bit, (guest, data)) in pieces.enumerate() {
                    if allocated >> bit & 1 != 0 {
                        guest.copy_from_slice(&data[..guest.len()]);
                    } else if zero >> bit & 1 != 0 {
                        guest.fill(0);
                    }
                }
            }
            Self::Entry(..) => {}
        }
    }
}

/// An image while it is put together: clusters are handed out from the beginning of the file.
struct Assembly<'a> {
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
    fn new(plan: &'a Builder) -> Self {
        let (bytes, data, references) = (Vec::new(), Vec::new(), Vec::new());
        Self { plan, bytes, data, references, stream_at: 0, stream_end: 0, hosts: BTreeMap::new() }
    }

    fn finish(mut self) -> Built {
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

/// The L2 entry of a compressed cluster.
pub fn compressed_entry(cluster_bits: u32, offset: u64, additional_sectors: u64) -> u64 {
    COMPRESSED | additional_sectors << (70 - cluster_bits) | offset
}

impl Built {
    fn write_header(&mut self, refcount_table: u64, refcount_clusters: u64) {
        let plan = self.plan.clone();
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        let put = |built: &mut Self, at: u64, value: u64, length: usize| {
            built.set(at, &value.to_be_bytes()[8 - length..]);
        };
        self.set(field::MAGIC, b"QFI\xfb");
        put(self, field::VERSION, plan.version.into(), 4);
        put(self, field::CLUSTER_BITS, plan.cluster_bits.into(), 4);
        put(self, field::SIZE, plan.size, 8);
        put(self, field::L1_SIZE, self.l1_entries, 4);
        put(self, field::L1_TABLE_OFFSET, self.l1, 8);
        put(self, field::REFCOUNT_TABLE_OFFSET, refcount_table, 8);
        put(self, field::REFCOUNT_TABLE_CLUSTERS, refcount_clusters, 4);
        put(self, field::NB_SNAPSHOTS, plan.snapshots.len() as u64, 4);
        put(self, field::SNAPSHOTS_OFFSET, self.snapshot_table, 8);
        if plan.version >= 3 {
            let incompatible = bit(plan.data_file.is_some(), DATA_FILE_BIT)
                | bit(plan.zstd, COMPRESSION_BIT)
                | bit(plan.extended_l2, EXTENDED_L2_BIT);
            let raw = plan.data_file.as_ref().is_some_and(|data_file| data_file.raw);
            put(self, field::INCOMPATIBLE, incompatible, 8);
            put(self, field::AUTOCLEAR, bit(raw, RAW_DATA_BIT), 8);
            put(self, field::REFCOUNT_ORDER, 4, 4);
            put(self, field::HEADER_LENGTH, plan.header_length.into(), 4);
            if plan.header_length > 104 {
                put(self, field::COMPRESSION_TYPE, plan.zstd.into(), 1);
            }
        }
        self.write_extensions(&plan);
    }

    fn write_extensions(&mut self, plan: &Builder) {
        let mut area = Vec::new();
        let mut add = |kind: u32, data: &[u8]| {
            area.extend(kind.to_be_bytes());
            area.extend(u32_of(data.len() as u64).to_be_bytes());
            area.extend(data);
            area.resize(area.len().next_multiple_of(8), 0);
        };
        if let Some((_, Some(format))) = &plan.backing {
            add(extension::BACKING_FORMAT, format.as_bytes());
        }
        if let Some(data_file) = &plan.data_file {
            add(extension::DATA_FILE, data_file.name.as_bytes());
        }
        for (kind, data) in &plan.extensions {
            add(*kind, data);
        }
        add(0, &[]);
        self.set(u64::from(plan.header_length), &area);
        if let Some((name, _)) = &plan.backing {
            let offset = u64::from(plan.header_length) + area.len() as u64;
            self.set(offset, name.as_bytes());
            self.set(field::BACKING_FILE_OFFSET, &offset.to_be_bytes());
            let length = u32_of(name.len() as u64);
            self.set(field::BACKING_FILE_SIZE, &length.to_be_bytes());
        }
    }
}

fn u32_of(value: u64) -> u32 {
    u32::try_from(value).expect("fits in 32 bits")
}

fn u16_of(value: usize) -> u16 {
    u16::try_from(value).expect("fits in 16 bits")
}
