//! Where the fields, entries and counts of an image are, found without any code of the engine.

use crate::common::index;

/// A place in the file that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub what: What,
    pub offset: u64,
    /// In bytes.
    pub length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Header,
    RefcountTable,
    Counts,
    ActiveL1,
    SnapshotL1,
    ActiveL2,
    SnapshotL2,
    SnapshotTable,
    BitmapDirectory,
    BitmapTable,
    Extension,
}

/// The header's fields: where, and how many bytes.
const HEADER: [(u64, usize); 17] = [
    (8, 8),
    (16, 4),
    (20, 4),
    (24, 8),
    (32, 4),
    (36, 4),
    (40, 8),
    (48, 8),
    (56, 4),
    (60, 4),
    (64, 8),
    (72, 8),
    (80, 8),
    (88, 8),
    (96, 4),
    (100, 4),
    (104, 1),
];
const BITMAPS: u32 = 0x2385_2875;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// All fields of a sound image.
pub fn fields(bytes: &[u8]) -> Vec<Field> {
    let mut anatomy = Anatomy { bytes, fields: Vec::new(), seen: Vec::new() };
    anatomy.header();
    anatomy.refcounts();
    anatomy.mapping(What::ActiveL1, What::ActiveL2, anatomy.u64(40), anatomy.u32(36));
    anatomy.snapshots();
    anatomy.extensions();
    anatomy.fields
}

struct Anatomy<'a> {
    bytes: &'a [u8],
    fields: Vec<Field>,
    /// L2 tables that were listed.
    seen: Vec<u64>,
}

impl Anatomy<'_> {
    fn header(&mut self) {
        let version_3 = self.u32(4) == 3;
        for (offset, length) in HEADER.iter().copied().filter(|(offset, _)| version_3 || *offset < 72) {
            self.add(What::Header, offset, length);
        }
    }

    fn refcounts(&mut self) {
        let (table, clusters) = (self.u64(48), self.u32(56));
        let used = (0..clusters * self.cluster_size()).step_by(8).filter(|at| self.u64(table + at) != 0);
        for at in used.collect::<Vec<_>>() {
            self.add(What::RefcountTable, table + at, 8);
            let block = self.u64(table + at);
            for word in
                (0..self.cluster_size()).step_by(8).filter(|word| self.u64(block + word) != 0).collect::<Vec<_>>()
            {
                self.add(What::Counts, block + word, 2);
                self.add(What::Counts, block + word, 8);
            }
        }
        // One that is not used.
        self.add(What::RefcountTable, table + 8, 8);
    }

    fn mapping(&mut self, l1: What, l2: What, table: u64, entries: u64) {
        for at in (table..table + 8 * entries).step_by(8) {
            self.add(l1, at, 8);
            let l2_table = self.u64(at) & OFFSET;
            if l2_table == 0 || self.seen.contains(&l2_table) {
                continue;
            }
            self.seen.push(l2_table);
            let used = (0..self.cluster_size()).step_by(8).filter(|word| self.u64(l2_table + word) != 0);
            let used: Vec<_> = used.collect();
            // Those in use, and the first that isn't.
            let unused = (0..self.cluster_size()).step_by(16).find(|word| !used.contains(word));
            for word in used.into_iter().chain(unused) {
                self.add(l2, l2_table + word, 8);
            }
        }
    }

    fn snapshots(&mut self) {
        let mut at = self.u64(64);
        for _ in 0..self.u32(60) {
            for (field, length) in
                [(0, 8), (8, 4), (12, 2), (14, 2), (16, 4), (24, 8), (32, 4), (36, 4), (40, 8), (48, 8)]
            {
                self.add(What::SnapshotTable, at + field, length);
            }
            self.mapping(What::SnapshotL1, What::SnapshotL2, self.u64(at), self.u32(at + 8));
            let length = 40 + self.u16(at + 12) + self.u16(at + 14) + self.u32(at + 36);
            at = (at + length).next_multiple_of(8);
        }
    }

    fn extensions(&mut self) {
        let mut at = if self.u32(4) == 3 { self.u32(100) } else { 72 };
        while self.u32(at) != 0 {
            let (kind, length) = (self.u32(at), self.u32(at + 4));
            self.add(What::Extension, at, 4);
            self.add(What::Extension, at + 4, 4);
            if kind == u64::from(BITMAPS) {
                for (field, length) in [(8, 4), (12, 4), (16, 8), (24, 8)] {
                    self.add(What::Extension, at + field, length);
                }
                self.bitmaps(self.u64(at + 24), self.u32(at + 8));
            }
            at += 8 + length.next_multiple_of(8);
        }
    }

    fn bitmaps(&mut self, directory: u64, bitmaps: u64) {
        let mut at = directory;
        for _ in 0..bitmaps {
            for (field, length) in [(0, 8), (8, 4), (12, 4), (16, 1), (17, 1), (18, 2), (20, 4)] {
                self.add(What::BitmapDirectory, at + field, length);
            }
            let (table, entries) = (self.u64(at), self.u32(at + 8));
            for entry in 0..entries {
                self.add(What::BitmapTable, table + 8 * entry, 8);
            }
            at = (at + 24 + self.u16(at + 18) + self.u32(at + 20)).next_multiple_of(8);
        }
    }

    fn add(&mut self, what: What, offset: u64, length: usize) {
        self.fields.push(Field { what, offset, length });
    }

    fn cluster_size(&self) -> u64 {
        1 << self.u32(20)
    }

    fn u16(&self, at: u64) -> u64 {
        self.number(at, 2)
    }

    fn u32(&self, at: u64) -> u64 {
        self.number(at, 4)
    }

    fn u64(&self, at: u64) -> u64 {
        self.number(at, 8)
    }

    /// Zeros past the end.
    fn number(&self, at: u64, length: u64) -> u64 {
        (at..at + length).fold(0, |number, at| number << 8 | u64::from(self.bytes.get(index(at)).copied().unwrap_or(0)))
    }
}
