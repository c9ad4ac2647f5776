//! What there is to know about an image, in the terms of `qemu-img info`.

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

/// What an open image is. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are what `qemu-img` tells, each on its own")]
pub struct Info {
    /// The version of the format: 2 or 3.
    pub version: u32,
    /// The size of the disk; of the snapshot's, where one is open.
    pub virtual_size: u64,
    /// The length of the image file.
    pub file_size: u64,
    /// The size of a cluster.
    pub cluster_size: u64,
    /// How compressed clusters are compressed.
    pub compression: CompressionType,
    /// The width of a reference count in bits; 0 where the image records one that can't be.
    pub refcount_bits: u32,
    /// Reference counts may be written late.
    pub lazy_refcounts: bool,
    /// L2 entries describe subclusters.
    pub extended_l2: bool,
    /// The image was not closed properly.
    pub dirty: bool,
    /// A program found the image damaged and marked it.
    pub corrupt: bool,
    /// How the guest's data is encrypted, if it is.
    pub encryption: Option<EncryptionInfo>,
    /// The name of the backing file.
    pub backing_file: Option<String>,
    /// The format of the backing file.
    pub backing_format: Option<String>,
    /// The guest's data is in another file.
    pub external_data_file: bool,
    /// The name of that file.
    pub data_file: Option<String>,
    /// That file is a raw image of the disk.
    pub data_file_raw: bool,
    /// The dirty bitmaps; none where the image says that they are out of date.
    pub bitmaps: Vec<BitmapInfo>,
    /// The feature bits that are set.
    pub features: Vec<FeatureBit>,
    /// The types and lengths of the header extensions that are not known.
    pub unknown_extensions: Vec<(u32, u64)>,
    /// How many bytes of the disk's tables and clusters should lie past the end of the file, and so read as zeros: more than 0
    /// where the file is cut off. Where there are many tables, at least so many.
    pub missing: u64,
    /// What is wrong with the image although it can be read: see [`Image::problems`]; and damage to its bitmaps.
    pub problems: Vec<Problem>,
    /// The files of the chain, the image itself first.
    pub chain: Vec<ChainLink>,
}

/// A file of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainLink {
    /// What it is.
    pub format: BackingFormat,
    /// The size of its disk.
    pub virtual_size: u64,
    /// Its length.
    pub file_size: u64,
}

impl Info {
    /// The version as `qemu-img` tells it: by the oldest QEMU that reads it.
    pub fn compat(&self) -> &'static str {
        if self.version >= 3 { "1.1" } else { "0.10" }
    }
}

impl<S: Storage> Image<S> {
    /// Everything that is wrong with this image although its active disk can be read, as far as opening it has shown: damage
    /// to the snapshot table, to the place or the width of the reference counts, or to a header extension. Such an image is
    /// not opened for writing. Does no I/O.
    pub fn problems(&self) -> Vec<Problem> {
        self.top.damage.borrow().problems().collect()
    }

    /// What this image is. Reads its head again, the directory of its bitmaps, and the reference counts of what follows the
    /// end of the file: four requests in most cases.
    pub async fn info(&self) -> Result<Info, Error<S::Error>> {
        let (file, header) = (&self.top.files.image, self.top.header());
        let head = StoredHeader::read(file).await.map_err(Error::Storage)??;
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
            encryption: read_encryption(file, &head).await?,
            backing_file: head.backing_name(file).await.map_err(Error::Storage)?,
            backing_format: head.extensions.backing_format(),
            external_data_file: header.has_data_file(),
            data_file: head.extensions.data_file_name(),
            data_file_raw: header.is_data_file_raw(),
            bitmaps,
            features: set_bits(raw.features(), &head.feature_names),
            unknown_extensions: head
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

/// The bitmaps that a file lists, with their tables.
pub(in crate::image) async fn stored_bitmaps<S: Storage>(
    file: &Qcow2File<S>,
) -> Result<Vec<(BitmapInfo, BitmapTable)>, Error<S::Error>> {
    if !file.header().has_consistent_bitmaps() {
        return Ok(Vec::new());
    }
    let head = StoredHeader::read(&file.files.image).await.map_err(Error::Storage)??;
    let Some(directory) = head.extensions.bitmap_directory() else {
        return Ok(Vec::new());
    };
    let size = directory.checked_size().map_err(Problem::from)?;
    let offset = HostOffset(directory.offset);
    let bytes = file.files.image.read_up_to(offset, size as u64).await.map_err(Error::Storage)?;
    Ok(directory.entries(&bytes)?)
}
