//! What is checked: an image as far as a check needs it, however broken the rest is.

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

/// An image whose header is sound, but for what a check looks at itself: the refcount table, the snapshots, the marks.
pub(in crate::image) struct Subject<'a, S> {
    pub(in crate::image) file: &'a HostFile<S>,
    pub(in crate::image) raw: RawHeader,
    pub(in crate::image) geometry: Geometry,
    pub(in crate::image) extensions: Extensions,
    /// What is wrong with the head that QEMU opens no image with.
    pub(in crate::image) findings: Vec<Finding>,
    /// The length of the file in whole sectors: as far as QEMU takes it to reach.
    file_end: u64,
}

/// An area of the file by the clusters that it touches; `None` where it reaches past the end by a cluster or more.
pub(in crate::image) type Area = Option<Range<u64>>;

impl<'a, S: Storage> Subject<'a, S> {
    /// Reads the head. Encryption and codecs don't matter here, nor do backing and data files.
    pub(in crate::image) async fn read(file: &'a HostFile<S>) -> Result<Self, Error<S::Error>> {
        let head = StoredHeader::read(file).await.map_err(Error::Storage)??;
        if let Some(problem) = head.problems().into_iter().find(|problem| !problem.is_left_to_check()) {
            return Err(problem.into());
        }
        let findings = findings_of(&head);
        let bits = head.header.cluster_bits;
        let extended = head.header.incompatible_features & feature::EXTENDED_L2 != 0;
        let geometry = Geometry::new(bits, extended).ok_or(Corrupt::ClusterBits { bits })?;
        let file_end = file.size().next_multiple_of(SECTOR);
        Ok(Self { file, raw: head.header, geometry, extensions: head.extensions, findings, file_end })
    }

    /// The same image as it is with another header, in a file that may have grown.
    pub(in crate::image) fn with_header(&self, raw: RawHeader) -> Self {
        let (file, geometry, extensions) = (self.file, self.geometry, self.extensions.clone());
        let (findings, file_end) = (self.findings.clone(), file.size().next_multiple_of(SECTOR));
        Self { file, raw, geometry, extensions, findings, file_end }
    }

    /// What nothing of it refers to has to come from somewhere else.
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

    /// How many clusters the file has; the last one may be cut off.
    pub(in crate::image) fn clusters(&self) -> u64 {
        self.file_end.div_ceil(self.geometry.cluster_size())
    }

    /// The disk's size in bytes.
    pub(in crate::image) fn disk_size(&self) -> u64 {
        self.raw.size / SECTOR * SECTOR
    }

    /// How many clusters the disk has.
    pub(in crate::image) fn disk_clusters(&self) -> u64 {
        self.disk_size().div_ceil(self.geometry.cluster_size())
    }

    pub(in crate::image) fn cluster_of(&self, offset: HostOffset) -> u64 {
        offset.0 >> self.geometry.cluster_bits()
    }

    pub(in crate::image) fn offset_of(&self, cluster: u64) -> HostOffset {
        HostOffset(cluster << self.geometry.cluster_bits())
    }

    /// The clusters of `length` bytes at `start`. The last cluster of a file may be cut off, so what ends less than a
    /// cluster past the end is still in it.
    pub(in crate::image) fn area(&self, start: HostOffset, length: u64) -> Area {
        let end = start.plus(length);
        let size = self.geometry.cluster_size();
        (end.0 < self.file_end.saturating_add(size)).then(|| self.cluster_of(start)..end.0.div_ceil(size))
    }

    /// How many bytes there are from `place` to the end of the file, in whole entries of a table.
    pub(in crate::image) fn bytes_from(&self, place: HostOffset) -> u64 {
        const LONGEST_ENTRY: u64 = 16;
        self.file.size().saturating_sub(place.0).next_multiple_of(LONGEST_ENTRY)
    }

    /// Fills `buf` with what is at `place`: zeros where the file ends before it, as QEMU reads.
    pub(in crate::image) async fn fill(&self, place: HostOffset, buf: &mut [u8]) -> Result<(), Error<S::Error>> {
        if buf.is_empty() {
            return Ok(());
        }
        self.file.read(place, buf).await.map_err(Error::Storage)
    }

    /// A buffer of a cluster.
    pub(in crate::image) fn cluster_buffer(&self) -> Vec<u8> {
        // At most 2 MiB.
        vec![0; usize::try_from(self.geometry.cluster_size()).unwrap_or(0)]
    }
}

/// What is wrong with a head that can be read in full.
fn findings_of(head: &StoredHeader) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(Corrupt::ExtensionEnd { offset, length }) = head.extension_error {
        findings.push(Finding::ExtensionEnd { offset, length });
    }
    let raw = &head.header;
    if raw.problems(&[]).contains(&Corrupt::RawWithoutDataFile.into()) {
        findings.push(Finding::RawWithoutDataFile { features: raw.autoclear_features });
    }
    if let (Some((offset, _)), true) = (head.extensions.crypto_header(), raw.encryption() != Some(Encryption::Luks)) {
        findings.push(Finding::UnusedCryptoHeader { offset });
    }
    findings
}

impl Problem {
    /// A check finds it, or needs nothing of it.
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
