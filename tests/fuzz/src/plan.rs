//! Images that an input makes up: a sound header, and L1 and L2 entries of every kind, in a file of any size.

use std::collections::BTreeMap;
use std::rc::Rc;

use qcow2_web::{BackingFile, BackingFormat, Image, OpenOptions, RawHeader, Storage, WithoutBacking, inspect};

use crate::input::Input;
use crate::limits::ready;
use crate::model::{Disk, Layer};
use crate::storage::{Bytes, Counted, Sparse};

const EXTENDED_L2: u64 = 1 << 4;
const DATA_FILE: u64 = 1 << 2;
const L1_ENTRIES: u64 = 8;
const TABLES: u64 = 4;
const ENTRIES: usize = 64;

/// An image with the files that it needs.
pub(crate) struct Made {
    plan: Plan,
    pub(crate) file: Rc<dyn Bytes>,
    data: Rc<dyn Bytes>,
    backing: Option<Rc<dyn Bytes>>,
}

impl Made {
    pub(crate) fn of(input: &mut Input<'_>) -> Self {
        let plan = Plan::of(input);
        let file: Rc<dyn Bytes> = Rc::new(plan.file(input));
        let data: Rc<dyn Bytes> = if plan.data_file { Rc::new(noise(input.u32() << 9)) } else { file.clone() };
        let backing: Option<Rc<dyn Bytes>> = match input.u8() % 3 {
            0 => None,
            1 => Some(Rc::new(noise(plan.size / 2 / 512 * 512))),
            _ => Some(Rc::new(noise(plan.size.saturating_add(1 << 20) & !511))),
        };
        let backing = backing.filter(|_| plan.names_backing);
        Self { plan, file, data, backing }
    }

    /// What the model sees.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        let header = self.header();
        let top = Layer::Qcow2(Disk::active(self.file.clone(), self.data.clone(), &header));
        std::iter::once(top).chain(self.backing.iter().cloned().map(Layer::Raw)).collect()
    }

    /// Opens the image in `file`; `storage` makes the other storages.
    pub(crate) fn open<S: Storage>(&self, file: S, storage: impl Fn(Rc<dyn Bytes>) -> S) -> Image<S> {
        let caches = if self.plan.tiny_caches { 0 } else { 4 << 20 };
        let mut options = OpenOptions::new().table_cache(caches).cluster_cache(caches);
        if self.plan.data_file {
            options = options.data_file(storage(self.data.clone()));
        }
        let opened = match self.backing.clone().map(storage) {
            None => ready(Image::open(file, options.backing(WithoutBacking))),
            Some(storage) => {
                let raw = BackingFile { storage, format: Some(BackingFormat::Raw), data_file: None };
                ready(Image::open(file, options.backing(vec![raw])))
            }
        };
        opened.expect("there is nothing wrong with the header")
    }

    fn header(&self) -> RawHeader {
        let Ok(inspection) = ready(inspect(&Counted::new(self.file.clone())));
        assert_eq!(inspection.problems, []);
        inspection.header.expect("there is nothing wrong with it")
    }
}

fn noise(size: u64) -> Sparse {
    Sparse { size, words: BTreeMap::new(), noise: true }
}

struct Plan {
    cluster_bits: u32,
    version: u64,
    extended: bool,
    data_file: bool,
    names_backing: bool,
    noise: bool,
    tiny_caches: bool,
    size: u64,
    file_size: u64,
    l1_entries: u64,
}

impl Plan {
    fn of(input: &mut Input<'_>) -> Self {
        let cluster_bits = 9 + u32::from(input.u8()) % 13;
        let flags = input.u8();
        let flag = |bit: u8| flags >> bit & 1 != 0;
        let version = if flag(0) { 2 } else { 3 };
        let extended = flag(1) && version == 3 && cluster_bits >= 14;
        let entry_bits = if extended { 4 } else { 3 };
        let coverage = 1 << (2 * cluster_bits - entry_bits);
        let l1_entries = 1 + u64::from(input.u8()) % L1_ENTRIES;
        let most = coverage * l1_entries;
        let size = if flag(2) { most } else { (input.u64() % most) & !511 };
        // Mostly a file that holds all tables; now and then one that ends before, or a huge one.
        let clusters = 3 + TABLES + if flag(3) { 1 << 10 } else { input.u16() % 64 };
        let cut = if flag(4) { input.u16() << 3 } else { 0 };
        let file_size =
            if input.u8() == 0xff { 1 << 60 } else { (clusters << cluster_bits).saturating_sub(cut).max(512) };
        Self {
            cluster_bits,
            version,
            extended,
            data_file: flag(5) && version == 3,
            names_backing: flag(6),
            noise: flag(7),
            tiny_caches: input.flag(),
            size,
            file_size,
            l1_entries,
        }
    }

    /// The header, then the L1 table at cluster 1, then the L2 tables.
    fn file(&self, input: &mut Input<'_>) -> Sparse {
        let mut words = BTreeMap::new();
        let name_at = 256;
        let incompatible = if self.extended { EXTENDED_L2 } else { 0 } | if self.data_file { DATA_FILE } else { 0 };
        let header = [
            0x5146_49fb << 32 | self.version,
            if self.names_backing { name_at } else { 0 },
            if self.names_backing { 1 << 32 } else { 0 } | u64::from(self.cluster_bits),
            self.size,
            self.l1_entries,
            1 << self.cluster_bits,
            0,
            1 << 32,
            0,
            incompatible,
            0,
            0,
            4 << 32 | 112,
            0,
        ];
        words.extend((0..).step_by(8).zip(header));
        // No extensions, and a name of one character.
        words.extend(
            [(72, 0), (112, 0), (name_at, u64::from(b'b') << 56)]
                .into_iter()
                .filter(|(at, _)| *at != 72 || self.version == 2),
        );
        let cluster_size = 1 << self.cluster_bits;
        for index in 0..self.l1_entries {
            let entry = match input.u8() {
                0 => 0,
                kind @ 1..=0xf0 => ((2 + u64::from(kind) % TABLES) * cluster_size) | (u64::from(kind & 1) << 63),
                _ => input.u64(),
            };
            words.insert(cluster_size + 8 * index, entry);
        }
        for _ in 0..ENTRIES {
            if input.is_empty() || input.u8() == 0xff {
                break;
            }
            self.add_entries(input, &mut words);
        }
        Sparse { size: self.file_size & !7, words, noise: self.noise }
    }

    /// A row of L2 entries.
    fn add_entries(&self, input: &mut Input<'_>, words: &mut BTreeMap<u64, u64>) {
        let entry_size = if self.extended { 16 } else { 8 };
        let cluster_size = 1 << self.cluster_bits;
        let kind = input.u8();
        let table = (2 + u64::from(kind >> 6) % TABLES) * cluster_size;
        let first = if kind & 0x20 != 0 { input.u8().into() } else { input.u32() };
        let count = 1 + u64::from(input.u8()) % 40;
        let (entry, stride) = match kind & 0x1f {
            0..=7 if self.data_file => (1 << 63, 0),
            0..=7 => ((input.u16() * cluster_size) & 0x00ff_ffff_ffff_fe00 | 1 << 63, cluster_size),
            8..=11 => (1, 0),
            12..=15 if self.data_file => (1 << 63 | 1, 0),
            12..=15 => ((input.u16() * cluster_size) & 0x00ff_ffff_ffff_fe00 | 1, cluster_size),
            16..=21 => {
                let sectors = u64::from(input.u8()) << (70 - self.cluster_bits);
                (1 << 62 | (sectors & ((1 << 62) - 1)) | input.u32() & ((1 << 32) - 1), 700)
            }
            _ => (input.u64(), 0),
        };
        let bitmap = match input.u8() {
            0 => 0xffff_ffff,
            1 => 0xffff_ffff << 32,
            2 => 0,
            3..=0x7f => input.u16() | (input.u16() << 48),
            _ => input.u64(),
        };
        let entries = cluster_size / entry_size;
        for index in 0..count {
            let at = table + (first + index) % entries * entry_size;
            // A data file has every cluster where it is on the disk: most of those that the first L1 entry maps are so.
            let in_place = self.data_file && kind & 0x10 == 0;
            let place = if in_place { (first + index) % entries * cluster_size } else { index * stride };
            words.insert(at, entry.wrapping_add(place));
            if self.extended {
                words.insert(at + 8, bitmap);
            }
        }
    }
}
