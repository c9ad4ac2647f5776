//! The image that is checked, which need not be openable.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::finding::Finding;
use crate::error::{Corrupt, Error, Problem};
use crate::format::geometry::Geometry;
use crate::format::header::extension::Extensions;
use crate::format::header::feature;
use crate::format::header::{Encryption, RawHeader};
use crate::format::l1::L1Table;
use crate::format::l2::L2Rules;
use crate::format::refcount::RefcountWidth;
use crate::format::units::HostOffset;
use crate::image::open::header::StoredHeader;
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

const SECTOR: u64 = 512;

/// An image whose header is valid, except for the parts that a check examines itself: the refcount table, the
/// snapshots, the dirty and corrupt bits.
pub(in crate::image) struct Subject<'a, S> {
    pub(in crate::image) file: &'a HostFile<S>,
    pub(in crate::image) raw: RawHeader,
    pub(in crate::image) geometry: Geometry,
    pub(in crate::image) extensions: Extensions,
    /// The header problems with which QEMU opens no image.
    pub(in crate::image) findings: Vec<Finding>,
    /// The length of the file, rounded up to whole sectors as in QEMU.
    file_end: u64,
}

/// The clusters that an area of the file touches; `None` if it reaches past the end by a cluster or more.
pub(in crate::image) type Area = Option<Range<u64>>;

impl<'a, S: Storage> Subject<'a, S> {
    /// Reads the header. Encryption and codecs do not matter here, nor do backing and data files.
    pub(in crate::image) async fn read(file: &'a HostFile<S>) -> Result<Self, Error<S::Error>> {
        let stored = StoredHeader::read(file).await.map_err(Error::Storage)??;
        if let Some(problem) = stored.problems().into_iter().find(|problem| !problem.is_left_to_check()) {
            return Err(problem.into());
        }
        let findings = header_findings(&stored);
        let bits = stored.header.cluster_bits;
        let extended = stored.header.incompatible_features & feature::EXTENDED_L2 != 0;
        let geometry = Geometry::new(bits, extended).ok_or(Corrupt::ClusterBits { bits })?;
        let file_end = file.size().next_multiple_of(SECTOR);
        Ok(Self { file, raw: stored.header, geometry, extensions: stored.extensions, findings, file_end })
    }

    /// Returns the same image with another header, in a file that may have grown.
    pub(in crate::image) fn with_header(&self, raw: RawHeader) -> Self {
        let (file, geometry, extensions) = (self.file, self.geometry, self.extensions.clone());
        let (findings, file_end) = (self.findings.clone(), file.size().next_multiple_of(SECTOR));
        Self { file, raw, geometry, extensions, findings, file_end }
    }

    /// Whether unallocated clusters come from a backing file.
    pub(in crate::image) fn has_backing_file(&self) -> bool {
        self.raw.has_backing_file()
    }

    pub(in crate::image) fn rules(&self) -> L2Rules {
        L2Rules { geometry: self.geometry, zero_flag: self.raw.version >= 3, data_file: self.has_data_file() }
    }

    pub(in crate::image) fn has_data_file(&self) -> bool {
        self.raw.incompatible_features & feature::DATA_FILE != 0
    }

    pub(in crate::image) fn width(&self) -> RefcountWidth {
        RefcountWidth::new(self.raw.refcount_order)
    }

    pub(in crate::image) fn active_l1(&self) -> L1Table {
        L1Table { offset: HostOffset(self.raw.l1_table_offset), entries: u64::from(self.raw.l1_size) }
    }

    /// The number of clusters of the file; the last one may be incomplete.
    pub(in crate::image) fn clusters(&self) -> u64 {
        self.file_end.div_ceil(self.geometry.cluster_size())
    }

    /// The disk's size in bytes.
    pub(in crate::image) fn disk_size(&self) -> u64 {
        self.raw.size / SECTOR * SECTOR
    }

    /// The number of clusters of the disk.
    pub(in crate::image) fn disk_clusters(&self) -> u64 {
        self.disk_size().div_ceil(self.geometry.cluster_size())
    }

    pub(in crate::image) fn cluster_of(&self, offset: HostOffset) -> u64 {
        offset.0 >> self.geometry.cluster_bits()
    }

    pub(in crate::image) fn offset_of(&self, cluster: u64) -> HostOffset {
        HostOffset(cluster << self.geometry.cluster_bits())
    }

    /// Returns the clusters of the `length` bytes at `start`. The last cluster of a file may be incomplete, so an area
    /// that ends less than a cluster past the end is still in it.
    pub(in crate::image) fn area(&self, start: HostOffset, length: u64) -> Area {
        let end = start.plus(length);
        let size = self.geometry.cluster_size();
        (end.0 < self.file_end.saturating_add(size)).then(|| self.cluster_of(start)..end.0.div_ceil(size))
    }

    /// The number of bytes from `offset` to the end of the file, rounded up to whole table entries.
    pub(in crate::image) fn bytes_from(&self, offset: HostOffset) -> u64 {
        const LONGEST_ENTRY: u64 = 16;
        self.file.size().saturating_sub(offset.0).next_multiple_of(LONGEST_ENTRY)
    }

    /// Reads the bytes at `offset` into `buf`, with zeros past the end of the file, as in QEMU.
    pub(in crate::image) async fn read_zero_padded(
        &self,
        offset: HostOffset,
        buf: &mut [u8],
    ) -> Result<(), Error<S::Error>> {
        if buf.is_empty() {
            return Ok(());
        }
        self.file.read(offset, buf).await.map_err(Error::Storage)
    }

    /// Returns a buffer of one cluster.
    pub(in crate::image) fn cluster_buffer(&self) -> Vec<u8> {
        // At most 2 MiB.
        vec![0; usize::try_from(self.geometry.cluster_size()).unwrap_or(0)]
    }
}

/// Returns the findings for a header that can be read completely.
fn header_findings(stored: &StoredHeader) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(Corrupt::ExtensionEnd { offset, length }) = stored.extension_error {
        findings.push(Finding::ExtensionEnd { offset, length });
    }
    let raw = &stored.header;
    if raw.problems(&[]).contains(&Corrupt::RawWithoutDataFile.into()) {
        findings.push(Finding::RawWithoutDataFile { features: raw.autoclear_features });
    }
    if let (Some((offset, _)), true) = (stored.extensions.crypto_header(), raw.encryption() != Some(Encryption::Luks)) {
        findings.push(Finding::UnusedCryptoHeader { offset });
    }
    findings
}

impl Problem {
    /// Whether a check reports this problem as a finding, or is not affected by it.
    fn is_left_to_check(&self) -> bool {
        use crate::error::{HeaderTable, Unsupported};
        matches!(
            self,
            Self::Corrupt(
                Corrupt::NoRefcountTable
                    | Corrupt::ExtensionEnd { .. }
                    | Corrupt::RawWithoutDataFile
                    | Corrupt::TableUnaligned { table: HeaderTable::Snapshots, .. }
                    | Corrupt::TableTooLarge { table: HeaderTable::Snapshots, .. }
            ) | Self::Unsupported(
                Unsupported::EncryptionAes | Unsupported::EncryptionLuks | Unsupported::NoCodec { .. }
            )
        )
    }
}
