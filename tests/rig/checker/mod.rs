//! What `qemu-img check` looks for, and more, found without any code of the engine.
//!
//! More, because it knows what each cluster is: no cluster may be two things, nothing may lie past the end of the file.

mod findings;

pub use findings::{Findings, Problem, Use};

use crate::common::index;

const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const L1_OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;
const L2_RESERVED: u64 = 0x3f00_0000_0000_01fe;

/// The `crypt_method` of LUKS, and the extension that says where its header is.
const LUKS: u32 = 2;
const CRYPTO_HEADER: u32 = 0x0537_be77;

/// Checks the image in `bytes`. Bitmaps are beyond it.
pub fn check(bytes: &[u8]) -> Findings {
    let mut check = match Check::new(bytes) {
        Ok(check) => check,
        Err(problem) => return Findings { problems: vec![Problem::Header(problem)], ..Findings::default() },
    };
    check.walk();
    check.compare_counts();
    check.findings
}

struct Check<'a> {
    bytes: &'a [u8],
    cluster_bits: u32,
    version_3: bool,
    extended: bool,
    data_file: bool,
    refcount_order: u32,
    clusters: Vec<Cluster>,
    /// Where each refcount block is.
    blocks: Vec<u64>,
    /// Entries of the active disk: the cluster that each refers to, and whether it claims it for itself.
    claims: Vec<(u64, u64, bool)>,
    findings: Findings,
}

#[derive(Clone, Copy)]
struct Cluster {
    references: u64,
    is: Use,
    /// The L1 table by which it was last found: 0 for the active one.
    l1: usize,
}

/// An L1 table: where, how many entries, and its number.
struct L1 {
    offset: u64,
    entries: u64,
    number: usize,
}

impl<'a> Check<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, &'static str> {
        if bytes.len() < 104 || bytes[..4] != *b"QFI\xfb" {
            return Err("no magic");
        }
        let version_3 = match u32_at(bytes, 4) {
            2 => false,
            3 => true,
            _ => return Err("version"),
        };
        let cluster_bits = u32_at(bytes, 20);
        if !(9..=21).contains(&cluster_bits) {
            return Err("cluster size");
        }
        let incompatible = if version_3 { u64_at(bytes, 72) } else { 0 };
        let refcount_order = if version_3 { u32_at(bytes, 96) } else { 4 };
        if refcount_order > 6 {
            return Err("refcount order");
        }
        let nothing = Cluster { references: 0, is: Use::Nothing, l1: 0 };
        Ok(Self {
            bytes,
            cluster_bits,
            version_3,
            extended: incompatible & 16 != 0,
            data_file: incompatible & 4 != 0,
            refcount_order,
            clusters: vec![nothing; bytes.len().div_ceil(1 << cluster_bits)],
            blocks: Vec::new(),
            claims: Vec::new(),
            findings: Findings::default(),
        })
    }

    fn walk(&mut self) {
        self.refer(0, 1, Use::Header, "header", 0);
        let table = u64_at(self.bytes, 48);
        let table_clusters = u64::from(u32_at(self.bytes, 56));
        self.refer(table, table_clusters << self.cluster_bits, Use::RefcountTable, "refcount table", 0);
        for at in (0..table_clusters << self.cluster_bits).step_by(8) {
            let block = self.word(table + at) & !0x1ff;
            self.blocks.push(block);
            if block != 0 {
                self.refer(block, self.cluster_size(), Use::RefcountBlock, "refcount block", 0);
            }
        }
        let entries = u64::from(u32_at(self.bytes, 36));
        self.walk_l1(&L1 { offset: u64_at(self.bytes, 40), entries, number: 0 });
        self.walk_snapshots();
        if u32_at(self.bytes, 32) == LUKS {
            self.walk_luks();
        }
    }

    /// The header with its key material, to which an extension points.
    fn walk_luks(&mut self) {
        let mut at = if self.version_3 { index(u64::from(u32_at(self.bytes, 100))) } else { 72 };
        while let Some(extension) = self.bytes.get(at..).filter(|rest| rest.len() >= 24) {
            match (u32_at(extension, 0), u64::from(u32_at(extension, 4))) {
                (0, _) => return,
                (CRYPTO_HEADER, 16) => {
                    let (offset, length) = (u64_at(extension, 8), u64_at(extension, 16));
                    let room = (self.clusters.len() as u64) << self.cluster_bits;
                    return match offset.checked_add(length) {
                        Some(end) if end <= room => self.refer(offset, length, Use::LuksHeader, "LUKS header", 0),
                        _ => self.problem(Problem::PastEnd { what: "LUKS header", offset }),
                    };
                }
                (_, length) => at += 8 + index(length.next_multiple_of(8)),
            }
        }
    }

    fn walk_snapshots(&mut self) {
        let (count, start) = (u32_at(self.bytes, 60), u64_at(self.bytes, 64));
        if count == 0 {
            return;
        }
        let mut at = start;
        for number in 1..=count as usize {
            at = at.next_multiple_of(8);
            let Some(entry) = self.bytes.get(index(at)..).filter(|rest| rest.len() >= 40) else {
                self.problem(Problem::PastEnd { what: "snapshot table", offset: at });
                return;
            };
            let l1 = L1 { offset: u64_at(entry, 0), entries: u64::from(u32_at(entry, 8)), number };
            let names = u64::from(u16_at(entry, 12)) + u64::from(u16_at(entry, 14));
            at += 40 + u64::from(u32_at(entry, 36)) + names;
            self.walk_l1(&l1);
        }
        self.refer(start, at - start, Use::SnapshotTable, "snapshot table", 0);
    }

    fn walk_l1(&mut self, l1: &L1) {
        self.refer(l1.offset, l1.entries * 8, Use::L1, "L1 table", l1.number);
        for number in 0..l1.entries {
            let entry = self.word(l1.offset + number * 8);
            if entry == 0 {
                continue;
            }
            let table = entry & L1_OFFSET;
            if entry & L1_RESERVED != 0 || table == 0 {
                self.problem(Problem::Reserved { entry });
            }
            self.refer(table, self.cluster_size(), Use::L2, "L2 table", l1.number);
            self.claim(l1, entry, table);
            self.walk_l2(l1, table);
        }
    }

    fn walk_l2(&mut self, l1: &L1, table: u64) {
        let entry_size = if self.extended { 16 } else { 8 };
        let Some(words) = self.bytes.get(index(table)..index(table + self.cluster_size()).min(self.bytes.len())) else {
            return;
        };
        for words in words.chunks_exact(entry_size) {
            let entry = u64_at(words, 0);
            let bitmap = if self.extended { u64_at(words, 8) } else { 0 };
            if entry == 0 && bitmap == 0 {
                continue;
            }
            self.walk_entry(l1, entry, bitmap);
        }
    }

    fn walk_entry(&mut self, l1: &L1, entry: u64, bitmap: u64) {
        if entry & COMPRESSED != 0 {
            let offset_bits = 70 - self.cluster_bits;
            let start = entry & ((1 << offset_bits) - 1);
            let sectors = (entry & (COMPRESSED - 1)) >> offset_bits;
            let length = (sectors + 1) * 512 - start % 512;
            if entry & COPIED != 0 || self.data_file || bitmap != 0 {
                self.problem(Problem::Reserved { entry });
            }
            self.refer_to_compressed(start, length, l1.number);
            return;
        }
        let zero_flag = u64::from(self.version_3 && !self.extended);
        let host = entry & L1_OFFSET;
        if entry & L2_RESERVED != 0 || entry & 1 & !zero_flag != 0 {
            self.problem(Problem::Reserved { entry });
        }
        let (zero, allocated) = (bitmap >> 32, bitmap & 0xffff_ffff);
        let has_host = host != 0 || (self.data_file && entry & COPIED != 0);
        if zero & allocated != 0 || (!has_host && allocated != 0) {
            self.problem(Problem::Subclusters { bitmap });
        }
        if self.data_file {
            return;
        }
        if has_host {
            self.refer(host, self.cluster_size(), Use::Data, "data", l1.number);
            self.claim(l1, entry, host);
        } else if entry & COPIED != 0 {
            self.problem(Problem::Reserved { entry });
        }
    }

    fn claim(&mut self, l1: &L1, entry: u64, cluster: u64) {
        if l1.number == 0 {
            self.claims.push((entry, cluster >> self.cluster_bits, entry & COPIED != 0));
        }
    }

    /// Something refers to whole clusters.
    fn refer(&mut self, offset: u64, length: u64, is: Use, what: &'static str, l1: usize) {
        if !offset.is_multiple_of(self.cluster_size()) {
            self.problem(Problem::Unaligned { what, offset });
            return;
        }
        let first = offset >> self.cluster_bits;
        for cluster in first..first + length.div_ceil(self.cluster_size()) {
            self.refer_to_cluster(cluster, is, what, l1);
        }
    }

    /// The last sector of a stream may be cut off by the end of the file.
    fn refer_to_compressed(&mut self, start: u64, length: u64, l1: usize) {
        let last = (start + length - 1).min((self.bytes.len() as u64).saturating_sub(1)).max(start);
        for cluster in start >> self.cluster_bits..=(start + length - 1) >> self.cluster_bits {
            if cluster <= last >> self.cluster_bits {
                self.refer_to_cluster(cluster, Use::Compressed, "compressed cluster", l1);
            } else {
                self.grow_to(cluster);
                self.clusters[index(cluster)].references += 1;
                self.clusters[index(cluster)].is = Use::Compressed;
            }
        }
    }

    fn refer_to_cluster(&mut self, cluster: u64, is: Use, what: &'static str, l1: usize) {
        if cluster >= self.clusters.len() as u64 {
            self.problem(Problem::PastEnd { what, offset: cluster << self.cluster_bits });
            return;
        }
        let state = &mut self.clusters[index(cluster)];
        let may_share = match is {
            Use::Compressed => true,
            Use::L2 | Use::Data => state.l1 != l1,
            _ => false,
        };
        if state.is != Use::Nothing && !(state.is == is && may_share) {
            let one = state.is;
            self.findings.problems.push(Problem::Overlap { cluster, one, other: is });
            return;
        }
        *state = Cluster { references: state.references + 1, is, l1 };
    }

    fn grow_to(&mut self, cluster: u64) {
        let nothing = Cluster { references: 0, is: Use::Nothing, l1: 0 };
        if self.clusters.len() as u64 <= cluster && cluster < 1 << 24 {
            self.clusters.resize(index(cluster) + 1, nothing);
        }
    }

    fn compare_counts(&mut self) {
        for cluster in 0..self.clusters.len() as u64 {
            let (references, count) = (self.clusters[index(cluster)].references, self.count(cluster));
            if count < references {
                self.problem(Problem::TooLow { cluster, count, references });
            } else if count > references {
                self.findings.leaks += 1;
            }
        }
        self.findings.leaks_past_end = self.counted_past_the_end();
        for (entry, cluster, copied) in std::mem::take(&mut self.claims) {
            let count = self.count(cluster);
            if (count == 1) != copied {
                self.problem(Problem::Copied { entry, count });
            }
        }
    }

    /// Counts of clusters that the file doesn't have.
    fn counted_past_the_end(&self) -> u64 {
        let mut found = 0;
        for (number, block) in self.blocks.iter().enumerate().filter(|(_, block)| **block != 0) {
            let Some(words) = self.bytes.get(index(*block)..index(block + self.cluster_size()).min(self.bytes.len()))
            else {
                continue;
            };
            let per_word = 64 >> self.refcount_order;
            let first = (number as u64) << self.block_bits();
            for (at, _) in words.chunks_exact(8).enumerate().filter(|(_, word)| **word != [0; 8]) {
                let first = first + at as u64 * per_word;
                let end = first + per_word;
                found +=
                    (first.max(self.clusters.len() as u64)..end).filter(|cluster| self.count(*cluster) > 0).count();
            }
        }
        found as u64
    }

    fn block_bits(&self) -> u32 {
        self.cluster_bits + 3 - self.refcount_order
    }

    fn count(&self, cluster: u64) -> u64 {
        let block_bits = self.block_bits();
        let Some(block) = self.blocks.get(index(cluster >> block_bits)).filter(|block| **block != 0) else {
            return 0;
        };
        let number = cluster & ((1 << block_bits) - 1);
        let byte = |at: u64| self.bytes.get(index(block + at)).copied().map_or(0, u64::from);
        match self.refcount_order {
            order @ 0..=2 => {
                let bits = 1 << order;
                byte(number * bits / 8) >> (number * bits % 8) & ((1 << bits) - 1)
            }
            order => {
                let width = 1 << (order - 3);
                (0..width).fold(0, |count, at| count << 8 | byte(number * width + at))
            }
        }
    }

    fn word(&self, at: u64) -> u64 {
        self.bytes.get(index(at)..index(at) + 8).map_or(0, |word| u64_at(word, 0))
    }

    fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    fn problem(&mut self, problem: Problem) {
        self.findings.problems.push(problem);
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}
