//! Supplying the backing files that an image names.

use alloc::string::String;
use alloc::vec::Vec;

use crate::storage::Storage;

/// Supplies backing files. The names that images record are never followed, only passed on.
pub trait BackingResolver<S: Storage> {
    /// Returns the storage for the requested backing file.
    ///
    /// Called once for each step of the chain, starting below the opened image. An error ends the open operation.
    async fn resolve(&mut self, request: BackingRequest<'_>) -> Result<Supply<S>, S::Error>;
}

/// What an image records about its backing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackingRequest<'a> {
    /// 1 for the backing file of the opened image, 2 for that file's own backing file, and so on.
    pub depth: u32,
    /// The name: a path, a URL, or a QEMU block device description.
    ///
    /// It comes from the image, so do not trust it.
    pub name: &'a str,
    /// The format, such as `qcow2` or `raw`; images from old programs do not record it.
    pub format: Option<&'a str>,
}

/// The answer to a [`BackingRequest`].
#[derive(Debug)]
pub enum Supply<S> {
    /// There is no backing file: opening fails with [`Missing::BackingFile`](crate::Missing).
    Nothing,
    /// Open the image without the backing file. Its contents read as zeros.
    Absent,
    /// Use this backing file.
    File(BackingFile<S>),
}

/// A backing file.
#[derive(Debug)]
pub struct BackingFile<S> {
    /// The file.
    pub storage: S,
    /// The format, in place of the recorded one.
    ///
    /// If neither is known, the file's first bytes decide, as in QEMU. Set this for a raw file that a guest writes,
    /// which could be made to look like another format.
    pub format: Option<BackingFormat>,
    /// The external data file, for a qcow2 file that has one.
    pub data_file: Option<S>,
}

/// The format of a backing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackingFormat {
    /// The bytes of the disk, unchanged.
    Raw,
    /// A qcow2 image, perhaps with a backing file of its own.
    Qcow2,
}

/// Supplies no backing file: an image that names one is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBacking;

/// Opens an image without the backing file that it names. Its contents read as zeros.
#[derive(Clone, Copy, Debug, Default)]
pub struct WithoutBacking;

impl<S> From<S> for BackingFile<S> {
    fn from(storage: S) -> Self {
        Self { storage, format: None, data_file: None }
    }
}

impl BackingFormat {
    /// The format's name in images and in `qemu-img`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }

    /// Returns the format with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "qcow2" => Some(Self::Qcow2),
            // Old images name a QEMU protocol instead of a format; it means the bytes of the file, unchanged.
            "raw" | "file" | "host_device" | "host_cdrom" | "nbd" | "http" | "https" => Some(Self::Raw),
            _ => None,
        }
    }
}

impl BackingRequest<'_> {
    pub(crate) fn into_missing(self) -> crate::error::Missing {
        crate::error::Missing::BackingFile { name: self.name.into(), format: self.format.map(String::from) }
    }
}

impl<S: Storage> BackingResolver<S> for NoBacking {
    async fn resolve(&mut self, _request: BackingRequest<'_>) -> Result<Supply<S>, S::Error> {
        Ok(Supply::Nothing)
    }
}

impl<S: Storage> BackingResolver<S> for WithoutBacking {
    async fn resolve(&mut self, _request: BackingRequest<'_>) -> Result<Supply<S>, S::Error> {
        Ok(Supply::Absent)
    }
}

/// Supplies files by depth, whatever the names: the first for depth 1, and so on.
impl<S: Storage> BackingResolver<S> for Vec<BackingFile<S>> {
    async fn resolve(&mut self, _request: BackingRequest<'_>) -> Result<Supply<S>, S::Error> {
        if self.is_empty() { Ok(Supply::Nothing) } else { Ok(Supply::File(self.remove(0))) }
    }
}

impl<S: Storage, R: BackingResolver<S> + ?Sized> BackingResolver<S> for &mut R {
    async fn resolve(&mut self, request: BackingRequest<'_>) -> Result<Supply<S>, S::Error> {
        (**self).resolve(request).await
    }
}
