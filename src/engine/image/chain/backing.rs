//! Who supplies the files that an image names.

use alloc::string::String;
use alloc::vec::Vec;

use crate::storage::Storage;

/// Supplies backing files. The names that images record are never followed: they are only told.
pub trait BackingResolver<S: Storage> {
    /// The storage for the backing file of which an image tells the name.
    ///
    /// Called once for each step of the chain, from the opened image downwards. An error ends the opening.
    async fn resolve(&mut self, request: BackingRequest<'_>) -> Result<Supply<S>, S::Error>;
}

/// What an image records of its backing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackingRequest<'a> {
    /// 1 for the backing file of the image that is opened, 2 for that one's own, and so on.
    pub depth: u32,
    /// The name: a path, a URL, or one of QEMU's descriptions. It comes from the image, so trust nothing in it.
    pub name: &'a str,
    /// The format, such as `qcow2` or `raw`; images of old programs don't record it.
    pub format: Option<&'a str>,
}

/// The answer to a [`BackingRequest`].
#[derive(Debug)]
pub enum Supply<S> {
    /// There is none: the opening ends with [`Missing::BackingFile`](crate::Missing).
    Nothing,
    /// Open the image without it. What it would show reads as zeros.
    Absent,
    /// This one.
    File(BackingFile<S>),
}

/// A backing file.
#[derive(Debug)]
pub struct BackingFile<S> {
    /// The file.
    pub storage: S,
    /// What it is, in place of what the image records. Where neither is known, the file's first bytes decide, as in
    /// QEMU; give it for a raw file that a guest writes, which could be made to look like another format.
    pub format: Option<BackingFormat>,
    /// The external data file, for a qcow2 file that has one.
    pub data_file: Option<S>,
}

/// The formats that a backing file can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackingFormat {
    /// The disk's bytes as they are.
    Raw,
    /// A qcow2 image, perhaps with a backing file of its own.
    Qcow2,
}

/// Has no backing file to supply: an image that names one is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBacking;

/// Opens an image without the backing file that it names. What that would show reads as zeros.
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
            // Named in place of a format, QEMU's ways to get at a file give its bytes as they are.
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

/// By position: the first for depth 1, and so on; whatever the names.
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
