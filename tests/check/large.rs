//! A large image whose metadata are computed as they are read: how much memory a check takes, and how much it reads.

use std::cell::Cell;
use std::convert::Infallible;

use qcow2_web::{CheckOptions, Storage, Verdict, check};

use crate::common::memory::peak_of;
use crate::common::reading::now;
use crate::common::{GIB, MIB, TIB, index};

const CLUSTER: u64 = 64 << 10;
const PER_TABLE: u64 = CLUSTER / 8;
const PER_BLOCK: u64 = CLUSTER / 2;
const COPIED: u64 = 1 << 63;

/// A sound image with every cluster of its disk allocated, and snapshots that share all of it.
///
/// In this order: the header, the refcount table, the L1 table, the snapshots' L1 tables, the snapshot table, the L2
/// tables, the refcount blocks, the data.
struct Virtual {
    size: u64,
    snapshots: u64,
    bytes_read: Cell<u64>,
}

impl Virtual {
    fn new(size: u64, snapshots: u64) -> Self {
        Self { size, snapshots, bytes_read: Cell::new(0) }
    }

    fn snapshot_table(&self) -> u64 {
        3 + self.snapshots
    }

    fn first_l2(&self) -> u64 {
        self.snapshot_table() + 1
    }

    fn first_block(&self) -> u64 {
        self.first_l2() + self.l2_tables()
    }

    fn first_data(&self) -> u64 {
        self.first_block() + self.blocks()
    }

    fn l2_tables(&self) -> u64 {
        self.size / CLUSTER / PER_TABLE
    }

    fn blocks(&self) -> u64 {
        // Enough for itself as well.
        (self.size / CLUSTER + self.first_block()).div_ceil(PER_BLOCK) + 1
    }

    fn clusters(&self) -> u64 {
        self.first_data() + self.size / CLUSTER
    }

    fn word(&self, offset: u64) -> u64 {
        let (cluster, at) = (offset / CLUSTER, offset % CLUSTER / 8);
        let flag = if self.snapshots == 0 { COPIED } else { 0 };
        if cluster == 0 {
            return self.header(at);
        }
        if cluster == 1 {
            return if at < self.blocks() { (self.first_block() + at) * CLUSTER } else { 0 };
        }
        if cluster < self.snapshot_table() {
            return if at < self.l2_tables() { ((self.first_l2() + at) * CLUSTER) | flag } else { 0 };
        }
        if cluster < self.first_l2() {
            return self.snapshot_entry(at);
        }
        if cluster < self.first_block() {
            return ((self.first_data() + (cluster - self.first_l2()) * PER_TABLE + at) * CLUSTER) | flag;
        }
        if cluster < self.first_data() {
            let first = (cluster - self.first_block()) * PER_BLOCK + at * 4;
            return (first..first + 4).fold(0, |word, cluster| word << 16 | self.count(cluster));
        }
        0
    }

    fn count(&self, cluster: u64) -> u64 {
        let is_shared = (self.first_l2()..self.first_block()).contains(&cluster) || cluster >= self.first_data();
        match cluster {
            cluster if cluster >= self.clusters() => 0,
            cluster if cluster == self.snapshot_table() && self.snapshots == 0 => 0,
            _ if is_shared => 1 + self.snapshots,
            _ => 1,
        }
    }

    fn header(&self, at: u64) -> u64 {
        match at {
            0 => u64::from(u32::from_be_bytes(*b"QFI\xfb")) << 32 | 3,
            2 => 16,
            3 => self.size,
            4 => self.l2_tables(),
            5 => 2 * CLUSTER,
            6 => CLUSTER,
            7 => 1 << 32 | self.snapshots,
            8 if self.snapshots > 0 => self.snapshot_table() * CLUSTER,
            12 => (4 << 32) + 104,
            _ => 0,
        }
    }

    /// Seven words an entry: 40 bytes and 16 of extra data, without a name.
    fn snapshot_entry(&self, at: u64) -> u64 {
        let (snapshot, field) = (at / 7, at % 7);
        match field {
            _ if snapshot >= self.snapshots => 0,
            0 => (3 + snapshot) * CLUSTER,
            1 => self.l2_tables() << 32,
            4 => 16,
            6 => self.size,
            _ => 0,
        }
    }
}

impl Storage for Virtual {
    type Error = Infallible;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Infallible> {
        self.bytes_read.set(self.bytes_read.get() + buf.len() as u64);
        assert_eq!((offset % 8, buf.len() % 8), (0, 0), "tables are read in words");
        for (word, at) in buf.chunks_exact_mut(8).zip((offset..).step_by(8)) {
            word.copy_from_slice(&self.word(at).to_be_bytes());
        }
        Ok(())
    }

    async fn size(&self) -> Result<u64, Infallible> {
        Ok(self.clusters() * CLUSTER)
    }
}

#[test]
fn two_tebibytes_in_64_mib() {
    let image = Virtual::new(2 * TIB, 0);
    let (report, peak) = peak_of(|| now(check(&image, CheckOptions::new())).unwrap());
    assert_eq!(report.verdict(), Verdict::Clean, "{:?}", report.findings);
    assert_eq!((report.total_clusters, report.allocated_clusters), (1 << 25, 1 << 25));
    assert!(peak < index(64 * MIB), "{} MiB of memory", peak >> 20);
    // The refcount blocks twice, everything else once.
    let metadata = (image.l2_tables() + 2 * image.blocks()) * CLUSTER;
    assert!(image.bytes_read.get() < metadata + MIB, "{} MiB read", image.bytes_read.get() >> 20);
}

#[test]
fn clusters_with_many_references() {
    // A byte counts 254 references, and no more than 2^18 clusters may have more in the first window.
    let image = Virtual::new(17 * GIB, 260);
    let (report, peak) = peak_of(|| now(check(&image, CheckOptions::new())).unwrap());
    assert_eq!(report.verdict(), Verdict::Clean, "{:?}", report.findings);
    assert!(peak < index(64 * MIB), "{} MiB of memory", peak >> 20);
}

#[test]
fn findings_are_bounded() {
    struct WithoutCounts(Virtual);
    impl Storage for WithoutCounts {
        type Error = Infallible;
        async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Infallible> {
            self.0.read_at(offset, buf).await?;
            if offset / CLUSTER >= self.0.first_block() {
                buf.fill(0);
            }
            Ok(())
        }
        async fn size(&self) -> Result<u64, Infallible> {
            self.0.size().await
        }
    }
    let image = WithoutCounts(Virtual::new(8 * GIB, 0));
    let (report, peak) = peak_of(|| now(check(&image, CheckOptions::new().max_findings(100))).unwrap());
    let clusters = image.0.clusters() - 1;
    let flags = 8 * GIB / CLUSTER + image.0.l2_tables();
    assert_eq!(
        (report.corruptions, report.findings.len(), report.unlisted),
        (clusters + flags, 100, clusters + flags - 100)
    );
    assert!(peak < index(8 * MIB), "{} MiB of memory", peak >> 20);
}
