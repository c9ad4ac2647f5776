//! Feature bits, and the table in which an image names them.

use alloc::string::String;
use alloc::vec::Vec;

use crate::format::bytes::Record;

pub(crate) const DIRTY: u64 = 1 << 0;
pub(crate) const CORRUPT: u64 = 1 << 1;
pub(crate) const DATA_FILE: u64 = 1 << 2;
pub(crate) const COMPRESSION: u64 = 1 << 3;
pub(crate) const EXTENDED_L2: u64 = 1 << 4;
pub(crate) const KNOWN_INCOMPATIBLE: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;

pub(crate) const LAZY_REFCOUNTS: u64 = 1 << 0;

pub(crate) const BITMAPS: u64 = 1 << 0;
pub(crate) const RAW_DATA_FILE: u64 = 1 << 1;
/// Whoever writes clears all others.
pub(crate) const KNOWN_AUTOCLEAR: u64 = BITMAPS | RAW_DATA_FILE;

const ENTRY_SIZE: usize = 48;

/// The features that the format defines, with the names that QEMU gives them.
pub(crate) const FEATURE_NAME_TABLE: [(FeatureKind, u8, &str); 8] = [
    (FeatureKind::Incompatible, 0, "dirty bit"),
    (FeatureKind::Incompatible, 1, "corrupt bit"),
    (FeatureKind::Incompatible, 2, "external data file"),
    (FeatureKind::Incompatible, 3, "compression type"),
    (FeatureKind::Incompatible, 4, "extended L2 entries"),
    (FeatureKind::Compatible, 0, "lazy refcounts"),
    (FeatureKind::Autoclear, 0, "bitmaps"),
    (FeatureKind::Autoclear, 1, "raw external data"),
];

/// What a program must do that doesn't know a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FeatureKind {
    /// Refuse the image.
    Incompatible = 0,
    /// Nothing.
    Compatible = 1,
    /// Clear the bit when it writes.
    Autoclear = 2,
}

impl FeatureKind {
    fn from_type(kind: u8) -> Option<Self> {
        match kind {
            0 => Some(Self::Incompatible),
            1 => Some(Self::Compatible),
            2 => Some(Self::Autoclear),
            _ => None,
        }
    }

    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Incompatible => "incompatible",
            Self::Compatible => "compatible",
            Self::Autoclear => "autoclear",
        }
    }
}

/// A feature bit, and the name that the image or the format gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureBit {
    /// Which of the three feature words it is in.
    pub kind: FeatureKind,
    /// The bit's number: 0 to 63.
    pub bit: u8,
    /// Its name, where one is known.
    pub name: Option<String>,
}

/// The names that an image's feature table gives, from the data of that header extension.
pub(crate) fn parse_table(data: &[u8]) -> Vec<FeatureBit> {
    let (entries, _) = data.as_chunks::<ENTRY_SIZE>();
    entries.iter().filter_map(parse_entry).collect()
}

/// The bits that are set in the three feature words of a header, named by the format where it defines them, else by the image's own `table`.
pub(crate) fn set_bits([incompatible, compatible, autoclear]: [u64; 3], table: &[FeatureBit]) -> Vec<FeatureBit> {
    [
        (FeatureKind::Incompatible, incompatible),
        (FeatureKind::Compatible, compatible),
        (FeatureKind::Autoclear, autoclear),
    ]
    .into_iter()
    .flat_map(|(kind, word)| bits(word).map(move |bit| FeatureBit { kind, bit, name: name_of(kind, bit, table) }))
    .collect()
}

/// The names that `table` gives to the incompatible features in `word`.
pub(crate) fn names_of_incompatible(table: &[FeatureBit], word: u64) -> Vec<String> {
    bits(word).filter_map(|bit| name_in(table, FeatureKind::Incompatible, bit)).collect()
}

fn parse_entry(entry: &[u8; ENTRY_SIZE]) -> Option<FeatureBit> {
    let record = Record(entry);
    let kind = FeatureKind::from_type(record.u8(0)?)?;
    let bit = record.u8(1).filter(|bit| *bit < 64)?;
    let padded = &entry[2..];
    let length = padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len());
    let name = String::from_utf8_lossy(&padded[..length]).into_owned();
    Some(FeatureBit { kind, bit, name: Some(name) })
}

fn name_of(kind: FeatureKind, bit: u8, table: &[FeatureBit]) -> Option<String> {
    let defined = FEATURE_NAME_TABLE.iter().find(|(its_kind, its_bit, _)| (*its_kind, *its_bit) == (kind, bit));
    defined.map(|(_, _, name)| String::from(*name)).or_else(|| name_in(table, kind, bit))
}

fn name_in(table: &[FeatureBit], kind: FeatureKind, bit: u8) -> Option<String> {
    table.iter().find(|feature| feature.kind == kind && feature.bit == bit)?.name.clone()
}

fn bits(word: u64) -> impl Iterator<Item = u8> {
    (0..64u8).filter(move |bit| word >> bit & 1 != 0)
}
