//! Changing the header extensions of an image while it is open.
//!
//! Nothing else uses the image meanwhile: the gate is closed, and everything written before is durable.
//! [`replace_header`] then replaces the header so that a crash leaves the old header or the new one. So does dropping
//! the future: the header then counts as in doubt, and the next write completes it first.

use alloc::string::String;
use alloc::vec::Vec;

use super::replace_header::{OldHeader, replace_header};
use crate::error::{Error, Misuse};
use crate::format::header::emit_changed::ChangedHeader;
use crate::format::header::{Header, extension};
use crate::image::Image;
use crate::image::open::header::StoredHeader;
use crate::storage::StorageMut;

/// Changes to the header extensions of an open image, for [`Image::change_header`].
///
/// An extension that is not set stays as it is.
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

    /// Records another name of the external data file, which the image must have.
    ///
    /// The open data file stays in use.
    #[must_use]
    pub fn data_file_name(self, name: impl Into<String>) -> Self {
        Self { data_file_name: Some(name.into()), ..self }
    }

    /// Sets the data of the extension of type `kind`, which must not be one that the format defines.
    ///
    /// Programs keep extensions that they do not know, so an application can store its own data here. The data must fit
    /// into the first cluster together with the rest of the header.
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
    /// Changes the header extensions of the open image.
    ///
    /// Waits for the running requests; new requests wait for it. When it completes, the change and everything written
    /// before are durable. A crash, or dropping the future, leaves the old extensions or the new ones; the image stays
    /// usable.
    ///
    /// # Errors
    ///
    /// - [`Misuse::UnneededDataFile`] if a data file is named and the image has none.
    /// - [`Misuse::KnownExtension`] for a type that the format defines.
    /// - [`CreateFault::NamesTooLong`](crate::CreateFault::NamesTooLong) if the header would outgrow its cluster.
    /// - [`Misuse::ReadOnly`] if the image is open for reading, or a snapshot.
    ///
    /// After each of these errors, nothing has changed.
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
        // This also completes a header write that is in doubt, so the file has the header that is in memory.
        writeback.flush(&self.top.files).await?;
        let file = &self.top.files.image;
        let stored = StoredHeader::read(file).await.map_err(Error::Storage)??;
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
        writeback.replace_header(replace_header(file, &stored.header, &replacement)).await?;
        let written = StoredHeader::read(file).await.map_err(Error::Storage)??;
        self.top.current_header.set(Header::check(written.header, &written.feature_names)?);
        Ok(())
    }
}
