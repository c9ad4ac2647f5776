//! Changing the header extensions of an image while it is open.
//!
//! Nothing else uses the image meanwhile: the gate is closed, and everything written before is durable. The header is then
//! replaced as [`replace_head`] does it, so a crash leaves the old header or the new one. If the future is dropped on the
//! way, the file has one of the two as well; the header counts as in doubt, and the next write settles it first.

use alloc::string::String;
use alloc::vec::Vec;

use super::replace_header::{OldHeader, replace_head};
use crate::error::{Error, Misuse};
use crate::format::header::emit_changed::ChangedHeader;
use crate::format::header::{Header, extension};
use crate::image::Image;
use crate::image::open::header::Head;
use crate::storage::StorageMut;

/// Changes to the header extensions of an open image, for [`Image::change_header`]. What is not set stays as it is.
#[derive(Clone, Debug, Default)]
pub struct HeaderChanges {
    data_file_name: Option<String>,
    /// By type: the new data, or `None` to remove the extension.
    extensions: Vec<(u32, Option<Vec<u8>>)>,
}

impl HeaderChanges {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records another name of the external data file, which the image must have. The open data file stays in use.
    #[must_use]
    pub fn data_file_name(self, name: impl Into<String>) -> Self {
        Self { data_file_name: Some(name.into()), ..self }
    }

    /// Sets the data of the extension of type `kind`, which must not be one that the format defines.
    ///
    /// Programs keep extensions that they do not know, so this is a place for an application's own data. It must fit into
    /// the first cluster together with the rest of the header.
    #[must_use]
    pub fn extension(self, kind: u32, data: impl Into<Vec<u8>>) -> Self {
        self.with(kind, Some(data.into()))
    }

    /// Removes the extensions of type `kind`, which must not be one that the format defines.
    #[must_use]
    pub fn without_extension(self, kind: u32) -> Self {
        self.with(kind, None)
    }

    fn with(mut self, kind: u32, data: Option<Vec<u8>>) -> Self {
        self.extensions.retain(|(other, _)| *other != kind);
        self.extensions.push((kind, data));
        self
    }

    fn check(&self, header: &Header) -> Result<(), Misuse> {
        if self.data_file_name.is_some() && !header.has_data_file() {
            return Err(Misuse::UnneededDataFile);
        }
        match self.extensions.iter().find(|(kind, _)| extension::is_known(*kind)) {
            Some((kind, _)) => Err(Misuse::KnownExtension { kind: *kind }),
            None => Ok(()),
        }
    }
}

impl<S: StorageMut> Image<S> {
    /// Changes the header extensions, with the image open.
    ///
    /// Waits for the requests under way, and lets new ones wait. Everything written before is durable when it completes, and
    /// so is the change. A crash leaves the old extensions or the new ones; so does dropping the future, after which the
    /// image can still be used.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnneededDataFile`] if a data file is named and the image has none, [`Misuse::KnownExtension`] for a type that
    /// the format defines, and [`CreateFault::NamesTooLong`](crate::CreateFault::NamesTooLong) if the header would outgrow its
    /// cluster; then nothing has changed. [`Misuse::ReadOnly`] for an image that is open for reading, or a snapshot.
    ///
    /// # Examples
    ///
    /// ```
    /// # use qcow2_web::{CreateOptions, HeaderChanges, OpenOptions, now_or_never, storage::MemoryStorage};
    /// # use std::rc::Rc;
    /// # now_or_never(async {
    /// let file = Rc::new(MemoryStorage::default());
    /// let image = CreateOptions::new(1 << 20).create(file, OpenOptions::new()).await?;
    /// image.change_header(&HeaderChanges::new().extension(0x6d79_6170, "of my own")).await?;
    /// assert_eq!(image.info().await?.unknown_extensions, [(0x6d79_6170, 9)]);
    /// # Ok::<(), qcow2_web::Error<_>>(())
    /// # }).unwrap().unwrap();
    /// ```
    pub async fn change_header(&self, changes: &HeaderChanges) -> Result<(), Error<S::Error>> {
        let writeback = self.writable()?;
        let _closed = writeback.gate.close().await;
        writeback.check_writable()?;
        changes.check(&self.top.header())?;
        let _guard = writeback.lock.acquire().await;
        // It settles the header as well, so that the file has the one that is in memory.
        writeback.flush(&self.top.files).await?;
        let file = &self.top.files.image;
        let stored = Head::read(file).await.map_err(Error::Storage)??;
        let old = OldHeader::read(file, &stored.header).await?;
        let replacement = ChangedHeader {
            old: &old.bytes,
            old_header: &stored.header,
            extensions: &stored.extensions,
            name: &old.backing_name,
            format: stored.extensions.backing_format(),
            data_file_name: changes.data_file_name.clone().or_else(|| stored.extensions.data_file_name()),
            replaced: &changes.extensions,
        };
        writeback.replace_header(replace_head(file, &stored.header, &replacement)).await?;
        let written = Head::read(file).await.map_err(Error::Storage)??;
        self.top.current_header.set(Header::check(written.header, &written.feature_names)?);
        Ok(())
    }
}
