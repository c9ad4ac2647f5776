//! Assembles qcow2 images from scratch, byte by byte, so that a test can make any image, and then
//! break it at a place that it knows.
//!
//! What it makes is clean by `qemu-img check` unless the test asks for something else.

mod assembly;
mod header;

use std::collections::BTreeMap;

use super::index;
use assembly::Assembly;

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

/// The L2 entry of a compressed cluster.
pub fn compressed_entry(cluster_bits: u32, offset: u64, additional_sectors: u64) -> u64 {
    COMPRESSED | additional_sectors << (70 - cluster_bits) | offset
}

fn u32_of(value: u64) -> u32 {
    u32::try_from(value).expect("fits in 32 bits")
}
