//! What an image shows, worked out one subcluster at a time, straight from the format.

use std::rc::Rc;

use qcow2_web::{Codecs, RawHeader};

use crate::storage::Bytes;

const EXTENDED_L2: u64 = 1 << 4;
const DATA_FILE: u64 = 1 << 2;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// A file of the chain.
pub(crate) enum Layer {
    Raw(Rc<dyn Bytes>),
    Qcow2(Disk),
}

/// A disk in a qcow2 file.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) file: Rc<dyn Bytes>,
    pub(crate) data: Rc<dyn Bytes>,
    pub(crate) header: RawHeader,
    pub(crate) l1_offset: u64,
    pub(crate) l1_entries: u64,
    pub(crate) size: u64,
}

/// What a subcluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its entry, or its L2 table, makes no sense.
    Bad,
    Unallocated,
    Zero,
    /// Where the byte is.
    Data(u64),
    Compressed {
        start: u64,
        length: u64,
    },
}

/// What a byte of a chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) depth: usize,
    pub(crate) kind: Kind,
    /// How many bytes from there on are of the same subcluster of every layer that was looked at.
    pub(crate) length: u64,
}

impl Disk {
    pub(crate) fn active(file: Rc<dyn Bytes>, data: Rc<dyn Bytes>, header: &RawHeader) -> Self {
        let (l1_offset, l1_entries) = (header.l1_table_offset, u64::from(header.l1_size));
        Self { file, data, l1_offset, l1_entries, size: header.size / 512 * 512, header: header.clone() }
    }

    fn extended(&self) -> bool {
        self.header.incompatible_features & EXTENDED_L2 != 0
    }

    pub(crate) fn cluster_size(&self) -> u64 {
        1 << self.header.cluster_bits
    }

    fn subcluster_size(&self) -> u64 {
        if self.extended() { self.cluster_size() / 32 } else { self.cluster_size() }
    }

    /// The byte at `offset`, which may lie behind the disk.
    pub(crate) fn at(&self, offset: u64) -> Kind {
        let cluster_size = self.cluster_size();
        let entry_size = if self.extended() { 16 } else { 8 };
        let entries = cluster_size / entry_size;
        let (cluster, within) = (offset / cluster_size, offset % cluster_size);
        if cluster / entries >= self.l1_entries {
            return Kind::Unallocated;
        }
        let table = word(&*self.file, self.l1_offset + cluster / entries * 8) & OFFSET;
        if table == 0 {
            return Kind::Unallocated;
        }
        if !table.is_multiple_of(cluster_size) {
            return Kind::Bad;
        }
        let entry_at = table + cluster % entries * entry_size;
        let entry = word(&*self.file, entry_at);
        let data_file = self.header.incompatible_features & DATA_FILE != 0;
        if entry & 1 << 62 != 0 {
            return if data_file { Kind::Bad } else { self.compressed(entry) };
        }
        let host = entry & OFFSET;
        if !host.is_multiple_of(cluster_size) {
            return Kind::Bad;
        }
        let standard_zero = !self.extended() && entry & 1 != 0;
        let has_host = host != 0 || data_file && entry >> 63 != 0 && !standard_zero;
        if data_file && has_host && host != cluster * cluster_size {
            return Kind::Bad;
        }
        if !self.extended() {
            return match (entry & 1 != 0, has_host) {
                (true, _) if self.header.version < 3 => Kind::Bad,
                (true, _) => Kind::Zero,
                (false, true) => Kind::Data(host + within),
                (false, false) => Kind::Unallocated,
            };
        }
        let bitmap = word(&*self.file, entry_at + 8);
        let allocated = bitmap as u32;
        let zero = (bitmap >> 32) as u32;
        if allocated & zero != 0 || (allocated != 0 && !has_host) {
            return Kind::Bad;
        }
        let bit = within / self.subcluster_size();
        match (allocated >> bit & 1, zero >> bit & 1) {
            (1, _) => Kind::Data(host + within),
            (_, 1) => Kind::Zero,
            _ => Kind::Unallocated,
        }
    }

    fn compressed(&self, entry: u64) -> Kind {
        let bits = 70 - self.header.cluster_bits;
        let start = entry & ((1 << bits) - 1);
        let sectors = (entry & !(3 << 62)) >> bits;
        Kind::Compressed { start, length: (sectors + 1) * 512 - start % 512 }
    }

    /// The cluster that is compressed there.
    fn unpack(&self, start: u64, length: u64) -> Option<Vec<u8>> {
        let make = Codecs::default().get(self.header.compression()?).decompressor;
        let mut stream = vec![0; length as usize];
        self.file.fill(start, &mut stream);
        let mut cluster = vec![0; self.cluster_size() as usize];
        let mut codec = make.expect("both codecs are built")();
        codec.decompress(&stream, &mut cluster).is_ok().then_some(cluster)
    }
}

impl Layer {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Raw(bytes) => bytes.size(),
            Self::Qcow2(disk) => disk.size,
        }
    }

    fn at(&self, offset: u64) -> (Kind, u64) {
        match self {
            Self::Raw(_) => (Kind::Data(offset), u64::MAX),
            Self::Qcow2(disk) => {
                let kind = disk.at(offset);
                let whole = matches!(kind, Kind::Compressed { .. });
                let piece = if whole { disk.cluster_size() } else { disk.subcluster_size() };
                (kind, piece - offset % piece)
            }
        }
    }
}

/// What the byte at `offset` of the chain is, and where.
pub(crate) fn find(layers: &[Layer], offset: u64) -> Found {
    let mut found = Found { depth: 0, kind: Kind::Unallocated, length: u64::MAX };
    for (depth, layer) in layers.iter().enumerate() {
        let Some(available) = layer.size().checked_sub(offset).filter(|available| *available > 0) else {
            break;
        };
        let (kind, length) = layer.at(offset);
        found = Found { depth, kind, length: found.length.min(length).min(available) };
        if kind != Kind::Unallocated {
            break;
        }
    }
    found
}

/// What a read gives: the bytes, or `None` where it must fail.
pub(crate) fn read(layers: &[Layer], offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        let at = offset + done as u64;
        let found = find(layers, at);
        let count = usize::try_from(found.length).unwrap_or(usize::MAX).min(length - done);
        let part = &mut bytes[done..done + count];
        match (found.kind, &layers[found.depth]) {
            (Kind::Bad, _) => return None,
            (Kind::Unallocated | Kind::Zero, _) => part.fill(0),
            (Kind::Data(place), Layer::Raw(bytes)) => bytes.fill(place, part),
            (Kind::Data(place), Layer::Qcow2(disk)) => disk.data.fill(place, part),
            (Kind::Compressed { start, length }, Layer::Qcow2(disk)) => {
                let cluster = disk.unpack(start, length)?;
                let within = (at % disk.cluster_size()) as usize;
                part.copy_from_slice(&cluster[within..within + count]);
            }
            (Kind::Compressed { .. }, Layer::Raw(_)) => unreachable!("a raw file has no compressed clusters"),
        }
        done += count;
    }
    Some(bytes)
}

fn word(bytes: &dyn Bytes, offset: u64) -> u64 {
    let mut word = [0; 8];
    bytes.fill(offset, &mut word);
    u64::from_be_bytes(word)
}
