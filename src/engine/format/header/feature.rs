//! Feature bits, and the feature name table of an image.

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
/// A program that writes the image clears all other autoclear bits.
pub(crate) const KNOWN_AUTOCLEAR: u64 = BITMAPS | RAW_DATA_FILE;

const ENTRY_SIZE: usize = 48;

/// The features that the format defines, with QEMU's names.
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

/// The kind of a feature: what a program must do if it doesn't know the feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FeatureKind {
    /// It must refuse the image.
    Incompatible = 0,
    /// It can ignore the feature.
    Compatible = 1,
    /// It must clear the bit when it writes the image.
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

    /// Returns the name of the kind, such as `incompatible`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Incompatible => "incompatible",
            Self::Compatible => "compatible",
            Self::Autoclear => "autoclear",
        }
    }
}

/// A feature bit, with the name that the image or the format gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureBit {
    /// The kind: which of the three feature words contains the bit.
    pub kind: FeatureKind,
    /// The number of the bit: 0 to 63.
    pub bit: u8,
    /// The name, if it is known.
    pub name: Option<String>,
}

/// Parses the data of the header extension with the feature name table.
pub(crate) fn parse_table(data: &[u8]) -> Vec<FeatureBit> {
    let (entries, _) = data.as_chunks::<ENTRY_SIZE>();
    entries.iter().filter_map(parse_entry).collect()
}

/// Returns the set bits of the three feature words of a header.
///
/// The names are those of the format, or else those in the image's own `table`.
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

/// Returns the names in `table` of the incompatible features in `word`.
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
