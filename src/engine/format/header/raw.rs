//! The header fields as stored, and the checks of their values.

use alloc::vec::Vec;

use super::feature::{self, FeatureBit};
use crate::codec::CompressionType;
use crate::error::{Corrupt, HeaderTable, Problem, Unsupported};
use crate::field;
use crate::format::bytes::Record;
use crate::format::geometry::{CLUSTER_BITS, Geometry};
use crate::format::l1::MAX_L1_ENTRIES;
use crate::format::probe::{self, MAGIC};
use crate::format::snapshot::MAX_SNAPSHOTS;
use crate::format::units::HostOffset;

/// The length of a version 2 header, which doesn't record it.
const V2_HEADER_LENGTH: u32 = 72;
/// The shortest header of version 3.
const MIN_V3_HEADER_LENGTH: u32 = 104;
/// In version 2, refcounts have 2^4 bits.
const V2_REFCOUNT_ORDER: u32 = 4;
const MAX_REFCOUNT_ORDER: u32 = 6;
/// QEMU's limit on the refcount table.
const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
const MAX_BACKING_NAME: u64 = 1023;

/// The header fields as stored, with the names of QEMU's specification.
///
/// Only the magic number and the version are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields have the names of the format's specification")]
pub struct RawHeader {
    pub version: u32,
    pub backing_file_offset: u64,
    pub backing_file_size: u32,
    pub cluster_bits: u32,
    pub size: u64,
    pub crypt_method: u32,
    pub l1_size: u32,
    pub l1_table_offset: u64,
    pub refcount_table_offset: u64,
    pub refcount_table_clusters: u32,
    pub nb_snapshots: u32,
    pub snapshots_offset: u64,
    pub incompatible_features: u64,
    pub compatible_features: u64,
    pub autoclear_features: u64,
    pub refcount_order: u32,
    pub header_length: u32,
    pub compression_type: u8,
}

/// The encryption method of the guest data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encryption {
    /// AES-128 in CBC mode: QEMU's legacy method.
    Aes,
    /// LUKS.
    Luks,
}

impl Encryption {
    /// Returns the name that `qemu-img` uses: `aes` or `luks`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes => "aes",
            Self::Luks => "luks",
        }
    }
}

impl RawHeader {
    /// Parses the header at the beginning of `bytes`, which are the first cluster or as much of it as the file has.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let record = Record(bytes);
        if record.u32(field::MAGIC) != Some(MAGIC) {
            return Err(Unsupported::Format(probe::format_of(bytes)).into());
        }
        let truncated = || record.truncated_header();
        let version = record.u32(field::VERSION).ok_or_else(truncated)?;
        if !(2..=3).contains(&version) {
            return Err(Unsupported::Version(version).into());
        }
        Self::parse_fields(record, version).ok_or_else(|| truncated().into())
    }

    fn parse_fields(record: Record<'_>, version: u32) -> Option<Self> {
        let mut header = Self {
            version,
            backing_file_offset: record.u64(field::BACKING_FILE_OFFSET)?,
            backing_file_size: record.u32(field::BACKING_FILE_SIZE)?,
            cluster_bits: record.u32(field::CLUSTER_BITS)?,
            size: record.u64(field::SIZE)?,
            crypt_method: record.u32(field::CRYPT_METHOD)?,
            l1_size: record.u32(field::L1_SIZE)?,
            l1_table_offset: record.u64(field::L1_TABLE_OFFSET)?,
            refcount_table_offset: record.u64(field::REFCOUNT_TABLE_OFFSET)?,
            refcount_table_clusters: record.u32(field::REFCOUNT_TABLE_CLUSTERS)?,
            nb_snapshots: record.u32(field::NB_SNAPSHOTS)?,
            snapshots_offset: record.u64(field::SNAPSHOTS_OFFSET)?,
            incompatible_features: 0,
            compatible_features: 0,
            autoclear_features: 0,
            refcount_order: V2_REFCOUNT_ORDER,
            header_length: V2_HEADER_LENGTH,
            compression_type: 0,
        };
        if version >= 3 {
            header.incompatible_features = record.u64(field::INCOMPATIBLE_FEATURES)?;
            header.compatible_features = record.u64(field::COMPATIBLE_FEATURES)?;
            header.autoclear_features = record.u64(field::AUTOCLEAR_FEATURES)?;
            header.refcount_order = record.u32(field::REFCOUNT_ORDER)?;
            header.header_length = record.u32(field::HEADER_LENGTH)?;
            if u64::from(header.header_length) > field::COMPRESSION_TYPE {
                header.compression_type = record.u8(field::COMPRESSION_TYPE)?;
            }
        }
        Some(header)
    }

    /// Returns the area of the header extensions, or `None` if the header length or the cluster size is invalid.
    pub(crate) fn extension_area(&self) -> Option<core::ops::Range<u64>> {
        let cluster_size = 1 << CLUSTER_BITS.contains(&self.cluster_bits).then_some(self.cluster_bits)?;
        let start = u64::from(self.header_length);
        let end = if self.backing_file_offset == 0 { cluster_size } else { self.backing_file_offset };
        (start <= cluster_size && end <= cluster_size).then_some(start..end.max(start))
    }

    /// Returns the offset and the length of the backing file's name, or `None` without one.
    pub(crate) fn backing_name(&self) -> Option<(HostOffset, u64)> {
        (self.backing_file_offset != 0)
            .then_some((HostOffset(self.backing_file_offset), u64::from(self.backing_file_size)))
    }

    /// Returns whether unallocated clusters read from a backing file.
    pub(crate) fn has_backing_file(&self) -> bool {
        self.backing_name().is_some_and(|(_, length)| length > 0)
    }

    /// Returns the feature words: incompatible, compatible, autoclear.
    pub(crate) fn features(&self) -> [u64; 3] {
        [self.incompatible_features, self.compatible_features, self.autoclear_features]
    }

    /// Returns all problems of these values. `features` are the names from the image's own table.
    pub(crate) fn problems(&self, features: &[FeatureBit]) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_layout(&mut problems);
        self.check_features(features, &mut problems);
        self.check_tables(&mut problems);
        problems
    }

    fn check_layout(&self, problems: &mut Vec<Problem>) {
        if !CLUSTER_BITS.contains(&self.cluster_bits) {
            problems.push(Corrupt::ClusterBits { bits: self.cluster_bits }.into());
        }
        let cluster_size = self.cluster_size();
        let too_short = self.version >= 3 && self.header_length < MIN_V3_HEADER_LENGTH;
        if too_short || u64::from(self.header_length) > cluster_size {
            problems.push(Corrupt::HeaderLength { length: self.header_length }.into());
        }
        if self.backing_file_offset > cluster_size {
            problems.push(Corrupt::BackingNameOffset { offset: self.backing_file_offset }.into());
        } else if self.backing_file_offset != 0 {
            let room = (cluster_size - self.backing_file_offset).min(MAX_BACKING_NAME);
            if u64::from(self.backing_file_size) > room {
                problems.push(Corrupt::BackingNameLength { length: self.backing_file_size }.into());
            }
        }
        if self.refcount_order > MAX_REFCOUNT_ORDER {
            problems.push(Corrupt::RefcountOrder { order: self.refcount_order }.into());
        }
    }

    fn check_features(&self, features: &[FeatureBit], problems: &mut Vec<Problem>) {
        let unknown = self.incompatible_features & !feature::KNOWN_INCOMPATIBLE;
        if unknown != 0 {
            let names = feature::names_of_incompatible(features, unknown);
            problems.push(Unsupported::Features { bits: unknown, names }.into());
        }
        if self.extended_l2() && Geometry::new(self.cluster_bits, true).is_none() {
            problems.push(Corrupt::SubclusterTooSmall { cluster_bits: self.cluster_bits }.into());
        }
        let flag = self.incompatible_features & feature::COMPRESSION != 0;
        if flag != (self.compression_type != 0) {
            problems.push(Corrupt::CompressionFlag { flag, compression_type: self.compression_type }.into());
        } else if self.compression().is_none() {
            problems.push(Unsupported::CompressionType(self.compression_type).into());
        }
        if self.autoclear_features & feature::RAW_DATA_FILE != 0 && self.incompatible_features & feature::DATA_FILE == 0
        {
            problems.push(Corrupt::RawWithoutDataFile.into());
        }
        match self.crypt_method {
            0 => {}
            1 | 2 if cfg!(feature = "luks") => {}
            1 => problems.push(Unsupported::EncryptionAes.into()),
            2 => problems.push(Unsupported::EncryptionLuks.into()),
            method => problems.push(Unsupported::EncryptionMethod(method).into()),
        }
    }

    fn check_tables(&self, problems: &mut Vec<Problem>) {
        let cluster_size = self.cluster_size();
        let mut check = |table, offset: u64, count: u64, limit: u64| {
            if count > limit {
                problems.push(Corrupt::TableTooLarge { table, count }.into());
            }
            if !offset.is_multiple_of(cluster_size) || offset > i64::MAX as u64 {
                problems.push(Corrupt::TableUnaligned { table, offset }.into());
            }
        };
        let refcount_limit = MAX_REFCOUNT_TABLE_BYTES / cluster_size;
        check(
            HeaderTable::Refcounts,
            self.refcount_table_offset,
            u64::from(self.refcount_table_clusters),
            refcount_limit,
        );
        check(HeaderTable::Snapshots, self.snapshots_offset, u64::from(self.nb_snapshots), u64::from(MAX_SNAPSHOTS));
        check(HeaderTable::L1, self.l1_table_offset, u64::from(self.l1_size), MAX_L1_ENTRIES);
        if self.refcount_table_clusters == 0 {
            problems.push(Corrupt::NoRefcountTable.into());
        }
        if let Some(geometry) = self.geometry() {
            let (entries, needed) = (u64::from(self.l1_size), geometry.l1_entries_for(self.size));
            if entries < needed {
                problems.push(Corrupt::L1TooSmall { entries, needed }.into());
            }
        }
    }

    fn extended_l2(&self) -> bool {
        self.incompatible_features & feature::EXTENDED_L2 != 0
    }

    pub(crate) fn geometry(&self) -> Option<Geometry> {
        Geometry::new(self.cluster_bits, self.extended_l2())
    }

    /// Returns the cluster size, or the nearest valid one, so that checks can continue after an invalid size.
    fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits.clamp(*CLUSTER_BITS.start(), *CLUSTER_BITS.end())
    }

    /// Returns the compression type, if the format defines it.
    pub fn compression(&self) -> Option<CompressionType> {
        CompressionType::from_header_value(self.compression_type)
    }

    /// Returns the encryption method, if the guest data is encrypted and the format defines the method.
    pub fn encryption(&self) -> Option<Encryption> {
        match self.crypt_method {
            1 => Some(Encryption::Aes),
            2 => Some(Encryption::Luks),
            _ => None,
        }
    }
}
