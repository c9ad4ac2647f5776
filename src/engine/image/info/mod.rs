//! The properties of an image, in the terms of `qemu-img info`.

pub(crate) mod inspect;
mod missing;
pub(crate) mod statistics;

use alloc::string::String;
use alloc::vec::Vec;

use self::missing::missing_bytes;
use super::Image;
use super::encryption::{EncryptionInfo, read_encryption};
use super::layer::{Layer, Qcow2File};
use crate::codec::CompressionType;
use crate::error::{Error, Problem};
use crate::format::bitmap::{BitmapInfo, BitmapTable};
use crate::format::header::feature::{FeatureBit, set_bits};
use crate::format::units::HostOffset;
use crate::image::chain::backing::BackingFormat;
use crate::image::open::header::StoredHeader;
use crate::storage::Storage;

/// The properties of an open image. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are the independent flags of `qemu-img info`")]
pub struct Info {
    /// The version of the format: 2 or 3.
    pub version: u32,
    /// The size of the disk, or of the snapshot that is open.
    pub virtual_size: u64,
    /// The length of the image file.
    pub file_size: u64,
    /// The size of a cluster.
    pub cluster_size: u64,
    /// The compression type of compressed clusters.
    pub compression: CompressionType,
    /// The width of a refcount in bits; 0 if the recorded width is invalid.
    pub refcount_bits: u32,
    /// Whether refcounts may be written late.
    pub lazy_refcounts: bool,
    /// Whether L2 entries describe subclusters.
    pub extended_l2: bool,
    /// Whether the image was not closed properly.
    pub dirty: bool,
    /// Whether a program found the image corrupt and marked it.
    pub corrupt: bool,
    /// The encryption of the guest data, if it is encrypted.
    pub encryption: Option<EncryptionInfo>,
    /// The name of the backing file.
    pub backing_file: Option<String>,
    /// The format of the backing file.
    pub backing_format: Option<String>,
    /// Whether the guest data is in an external data file.
    pub external_data_file: bool,
    /// The recorded name of the data file.
    pub data_file: Option<String>,
    /// Whether the data file is a raw image of the disk.
    pub data_file_raw: bool,
    /// The dirty bitmaps; none if the image marks them as out of date.
    pub bitmaps: Vec<BitmapInfo>,
    /// The feature bits that are set.
    pub features: Vec<FeatureBit>,
    /// The types and lengths of the unknown header extensions.
    pub unknown_extensions: Vec<(u32, u64)>,
    /// How many bytes of the disk's tables and clusters are past the end of the file.
    ///
    /// They read as zeros. It is more than 0 if the file is truncated, and a lower bound if there are many tables.
    pub missing: u64,
    /// The problems that do not prevent reading, see [`Image::problems`], and damage to the bitmaps.
    pub problems: Vec<Problem>,
    /// The files of the chain, the image itself first.
    pub chain: Vec<ChainLink>,
}

/// A file of the backing chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainLink {
    /// The format of the file.
    pub format: BackingFormat,
    /// The size of the file's disk.
    pub virtual_size: u64,
    /// The length of the file.
    pub file_size: u64,
}

impl Info {
    /// Returns the version as `qemu-img` reports it: the oldest QEMU version that reads it.
    pub fn compat(&self) -> &'static str {
        if self.version >= 3 { "1.1" } else { "0.10" }
    }
}

impl<S: Storage> Image<S> {
    /// Returns all problems found by opening the image that do not prevent reading its active disk.
    ///
    /// These are damage to the snapshot table, to the position or the width of the refcounts, or to a header extension.
    /// Such an image cannot be opened for writing. Does no I/O.
    pub fn problems(&self) -> Vec<Problem> {
        self.top.damage.borrow().problems().collect()
    }

    /// Returns the properties of this image.
    ///
    /// Reads the header again, the bitmap directory, and the refcounts of clusters past the end of the file: four
    /// requests in most cases.
    pub async fn info(&self) -> Result<Info, Error<S::Error>> {
        let (file, header) = (&self.top.files.image, self.top.header());
        let stored = StoredHeader::read(file).await.map_err(Error::Storage)??;
        let raw = header.raw();
        let mut problems = self.problems();
        let listed = match self.bitmaps_in_memory() {
            Some(bitmaps) => Ok(bitmaps),
            None => stored_bitmaps(&self.top).await.map(|found| found.into_iter().map(|(info, _)| info).collect()),
        };
        let bitmaps = match listed {
            Ok(bitmaps) => bitmaps,
            Err(Error::Corrupt(corrupt)) => {
                problems.push(corrupt.into());
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        Ok(Info {
            version: raw.version,
            virtual_size: self.size(),
            file_size: file.size(),
            cluster_size: header.geometry().cluster_size(),
            compression: header.compression(),
            refcount_bits: 1_u32.checked_shl(raw.refcount_order).unwrap_or(0),
            lazy_refcounts: header.has_lazy_refcounts(),
            extended_l2: header.geometry().extended_l2(),
            dirty: header.is_dirty(),
            corrupt: header.is_corrupt(),
            encryption: read_encryption(file, &stored).await?,
            backing_file: stored.backing_name(file).await.map_err(Error::Storage)?,
            backing_format: stored.extensions.backing_format(),
            external_data_file: header.has_data_file(),
            data_file: stored.extensions.data_file_name(),
            data_file_raw: header.is_data_file_raw(),
            bitmaps,
            features: set_bits(raw.features(), &stored.feature_names),
            unknown_extensions: stored
                .extensions
                .unknown()
                .map(|extension| (extension.kind, extension.data.len() as u64))
                .collect(),
            missing: missing_bytes(file, self.top.files.data_file.as_ref(), &header).await?,
            problems,
            chain: self.layers.iter().map(ChainLink::of).collect(),
        })
    }
}

impl ChainLink {
    fn of<S: Storage>(layer: &Layer<S>) -> Self {
        let (format, file_size) = match layer {
            Layer::Raw(file) => (BackingFormat::Raw, file.size()),
            Layer::Qcow2 { file, .. } => (BackingFormat::Qcow2, file.files.image.size()),
        };
        Self { format, virtual_size: layer.size(), file_size }
    }
}

/// Returns the bitmaps that a file lists, with their tables.
pub(in crate::image) async fn stored_bitmaps<S: Storage>(
    file: &Qcow2File<S>,
) -> Result<Vec<(BitmapInfo, BitmapTable)>, Error<S::Error>> {
    if !file.header().has_consistent_bitmaps() {
        return Ok(Vec::new());
    }
    let stored = StoredHeader::read(&file.files.image).await.map_err(Error::Storage)??;
    let Some(directory) = stored.extensions.bitmap_directory() else {
        return Ok(Vec::new());
    };
    let size = directory.checked_size().map_err(Problem::from)?;
    let offset = HostOffset(directory.offset);
    let bytes = file.files.image.read_up_to(offset, size as u64).await.map_err(Error::Storage)?;
    Ok(directory.entries(&bytes)?)
}
