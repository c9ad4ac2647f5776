//! The header: parsed into a [`RawHeader`], then checked and turned into a [`Header`].

pub(crate) mod emit;
pub(crate) mod emit_changed;
pub(crate) mod extension;
pub(crate) mod feature;
mod raw;
pub(crate) mod table_pointers;

pub use self::raw::{Encryption, RawHeader};

use self::feature::FeatureBit;
use self::table_pointers::TablePointers;
use super::geometry::Geometry;
use super::l1::L1Table;
use super::units::HostOffset;
use crate::codec::CompressionType;
use crate::error::{Corrupt, Problem, Unsupported};

const SECTOR: u64 = 512;

/// A checked header. Its values are in range and consistent with each other.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    raw: RawHeader,
    geometry: Geometry,
    compression: CompressionType,
}

impl Header {
    /// Checks the header, and fails with its first problem.
    pub(crate) fn check(raw: RawHeader, features: &[FeatureBit]) -> Result<Self, Problem> {
        let header = Self::check_to_read(raw, features)?;
        // Any remaining problem leaves the disk readable.
        header.raw.problems(features).into_iter().next().map_or(Ok(header), Err)
    }

    /// Checks the header, and fails with its first problem that makes the active disk unreadable.
    pub(crate) fn check_to_read(raw: RawHeader, features: &[FeatureBit]) -> Result<Self, Problem> {
        if let Some(problem) = raw.problems(features).into_iter().find(|problem| !problem.leaves_the_disk_readable()) {
            return Err(problem);
        }
        let geometry = raw.geometry().ok_or(Corrupt::ClusterBits { bits: raw.cluster_bits })?;
        let compression = raw.compression().ok_or(Unsupported::CompressionType(raw.compression_type))?;
        Ok(Self { raw, geometry, compression })
    }

    pub(crate) fn raw(&self) -> &RawHeader {
        &self.raw
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(crate) fn table_pointers(&self) -> TablePointers {
        TablePointers {
            size: self.raw.size,
            crypt_method: self.raw.crypt_method,
            l1: self.l1_table(),
            refcount_table: HostOffset(self.raw.refcount_table_offset),
            refcount_table_clusters: self.raw.refcount_table_clusters,
            nb_snapshots: self.raw.nb_snapshots,
            snapshots: HostOffset(self.raw.snapshots_offset),
        }
    }

    /// Returns the header with other table pointers.
    pub(crate) fn with_table_pointers(&self, table_pointers: TablePointers) -> Self {
        let mut changed = self.clone();
        let raw = &mut changed.raw;
        raw.size = table_pointers.size;
        raw.l1_size = table_pointers.l1_entries();
        raw.l1_table_offset = table_pointers.l1.offset.0;
        raw.refcount_table_offset = table_pointers.refcount_table.0;
        raw.refcount_table_clusters = table_pointers.refcount_table_clusters;
        raw.nb_snapshots = table_pointers.nb_snapshots;
        raw.snapshots_offset = table_pointers.snapshots.0;
        changed
    }

    /// Returns the header with other features.
    pub(crate) fn with_features(&self, incompatible: u64, autoclear: u64) -> Self {
        let mut changed = self.clone();
        (changed.raw.incompatible_features, changed.raw.autoclear_features) = (incompatible, autoclear);
        changed
    }

    pub(crate) fn without_backing(&self) -> Self {
        let mut changed = self.clone();
        (changed.raw.backing_file_offset, changed.raw.backing_file_size) = (0, 0);
        changed
    }

    pub(crate) fn compression(&self) -> CompressionType {
        self.compression
    }

    /// Returns the disk size in bytes, rounded down to a multiple of 512, as in QEMU.
    pub(crate) fn disk_size(&self) -> u64 {
        self.raw.size / SECTOR * SECTOR
    }

    pub(crate) fn is_version_3(&self) -> bool {
        self.raw.version >= 3
    }

    pub(crate) fn l1_table(&self) -> L1Table {
        L1Table { offset: HostOffset(self.raw.l1_table_offset), entries: u64::from(self.raw.l1_size) }
    }

    pub(crate) fn has_data_file(&self) -> bool {
        self.raw.incompatible_features & feature::DATA_FILE != 0
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.raw.incompatible_features & feature::DIRTY != 0
    }

    pub(crate) fn is_corrupt(&self) -> bool {
        self.raw.incompatible_features & feature::CORRUPT != 0
    }

    pub(crate) fn has_lazy_refcounts(&self) -> bool {
        self.raw.compatible_features & feature::LAZY_REFCOUNTS != 0
    }

    pub(crate) fn has_consistent_bitmaps(&self) -> bool {
        self.raw.autoclear_features & feature::BITMAPS != 0
    }

    /// Returns the set autoclear features that stay valid when this crate writes the image.
    pub(crate) fn maintained_autoclear_features(&self) -> u64 {
        self.raw.autoclear_features & feature::RAW_DATA_FILE
    }

    pub(crate) fn is_data_file_raw(&self) -> bool {
        self.has_data_file() && self.raw.autoclear_features & feature::RAW_DATA_FILE != 0
    }
}
