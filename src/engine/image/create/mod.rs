//! Creating an image.

mod layout;

use alloc::string::String;

use self::layout::Layout;
use super::Image;
use super::open::OpenOptions;
use crate::codec::CompressionType;
use crate::error::{CreateFault, Error};
use crate::format::geometry::Geometry;
use crate::format::header::feature;
use crate::image::chain::backing::{BackingFormat, BackingResolver, WithoutBacking};
use crate::image::encryption::create::EncryptOptions;
use crate::storage::StorageMut;

const SECTOR: u64 = 512;
const MAX_BACKING_NAME: usize = 1023;

/// The options for creating an image. The defaults are those of `qemu-img create`.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    size: u64,
    version: u32,
    cluster_size: u64,
    refcount_bits: u32,
    lazy_refcounts: bool,
    extended_l2: bool,
    compression: CompressionType,
    backing: Option<(String, BackingFormat)>,
    data_file: Option<String>,
    data_file_raw: bool,
    preallocation: Preallocation,
    encryption: Option<EncryptOptions>,
}

/// The layout of an external data file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataFileLayout {
    /// Clusters in any order, which only the image file maps to the disk.
    #[default]
    Clusters,
    /// A raw copy of the disk, which other programs can read without the image file.
    Raw,
}

/// How much of a new image is preallocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preallocation {
    /// Nothing.
    #[default]
    Off,
    /// Every cluster, without its data: the file has its full length, but is sparse if the storage allows it.
    Metadata,
    /// Every cluster, with zeros written to it.
    Full,
}

impl CreateOptions {
    /// Options for a disk of `size` bytes, rounded up to a multiple of 512.
    pub fn new(size: u64) -> Self {
        Self {
            size,
            version: 3,
            cluster_size: 64 << 10,
            refcount_bits: 16,
            lazy_refcounts: false,
            extended_l2: false,
            compression: CompressionType::Zlib,
            backing: None,
            data_file: None,
            data_file_raw: false,
            preallocation: Preallocation::Off,
            encryption: None,
        }
    }

    /// Sets the version of the format: 2 (`compat=0.10`) or 3 (`compat=1.1`, the default).
    #[must_use]
    pub fn version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// Sets the cluster size in bytes: a power of two from 512 to 2 MiB; default 64 KiB.
    #[must_use]
    pub fn cluster_size(self, bytes: u64) -> Self {
        Self { cluster_size: bytes, ..self }
    }

    /// Sets the width of a refcount in bits: 1, 2, 4, 8, 16 (the default), 32 or 64.
    #[must_use]
    pub fn refcount_bits(self, bits: u32) -> Self {
        Self { refcount_bits: bits, ..self }
    }

    /// Sets whether refcounts may be written late. An image that is not closed must then be repaired.
    #[must_use]
    pub fn lazy_refcounts(self, lazy: bool) -> Self {
        Self { lazy_refcounts: lazy, ..self }
    }

    /// Sets whether the image maps subclusters of 1/32 of a cluster.
    #[must_use]
    pub fn extended_l2(self, extended: bool) -> Self {
        Self { extended_l2: extended, ..self }
    }

    /// Sets the compression type of compressed clusters.
    #[must_use]
    pub fn compression(self, compression: CompressionType) -> Self {
        Self { compression, ..self }
    }

    /// Sets the recorded name and format of the backing file.
    ///
    /// If the format were not recorded, it would have to be guessed from bytes that a guest may have written.
    #[must_use]
    pub fn backing_file(self, name: impl Into<String>, format: BackingFormat) -> Self {
        Self { backing: Some((name.into(), format)), ..self }
    }

    /// Keeps the guest data in an external data file, and records `name` for it, unless it is empty.
    #[must_use]
    pub fn data_file(self, name: impl Into<String>, layout: DataFileLayout) -> Self {
        Self { data_file: Some(name.into()), data_file_raw: layout == DataFileLayout::Raw, ..self }
    }

    /// Sets how much is preallocated; default nothing.
    #[must_use]
    pub fn preallocation(self, preallocation: Preallocation) -> Self {
        Self { preallocation, ..self }
    }

    /// Encrypts the disk.
    #[cfg(feature = "luks")]
    #[must_use]
    pub fn encryption(self, encryption: EncryptOptions) -> Self {
        Self { encryption: Some(encryption), ..self }
    }

    /// Creates the image in `storage` and opens it for writing.
    ///
    /// The previous contents of `storage` and the data file are lost.
    ///
    /// `open` supplies the external data file if there is one. It also supplies the backing file if one is named, whose
    /// contents are visible in the new image. The passphrase is that of [`CreateOptions::encryption`].
    ///
    /// # Errors
    ///
    /// [`CreateFault`] if the options contradict each other or exceed the format's limits; nothing is written then.
    /// After any other error, or if the future is dropped, `storage` holds no image, because the header is written
    /// last. If only opening the new image failed, for example without its backing file, `storage` holds the whole
    /// image.
    ///
    /// # Examples
    ///
    /// ```
    /// # use qcow2_web::{CreateOptions, OpenOptions, blocking::wait, storage::MemoryStorage};
    /// # use std::rc::Rc;
    /// let file = Rc::new(MemoryStorage::default());
    /// let image = wait(CreateOptions::new(1 << 30).create(file, OpenOptions::new()))?;
    /// wait(image.write_at(4096, b"hello"))?;
    /// wait(image.close())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn create<S: StorageMut + Clone, R: BackingResolver<S>>(
        &self,
        storage: S,
        open: OpenOptions<S, R>,
    ) -> Result<Image<S>, Error<S::Error>> {
        self.write_to(storage.clone(), open.supplied_data_file()).await?;
        let open = match &self.encryption {
            Some(encryption) => encryption.unlock(open),
            None => open,
        };
        Image::open_writable(storage, open).await
    }

    /// Writes the new image to `storage` as [`CreateOptions::create`] does, without opening it.
    ///
    /// `storage` and `data_file` can be references.
    pub async fn write_to<S: StorageMut + Clone>(
        &self,
        storage: S,
        data_file: Option<S>,
    ) -> Result<(), Error<S::Error>> {
        let layout = Layout::new(self)?;
        if data_file.is_some() != self.data_file.is_some() {
            return Err(CreateFault::DataFileAndName.into());
        }
        if let Some(data_file) = &data_file {
            data_file.set_size(0).await.map_err(Error::Storage)?;
        }
        let sealed = match &self.encryption {
            Some(encryption) => Some(encryption.seal().await?),
            None => None,
        };
        layout.write(&storage, sealed.as_ref()).await.map_err(Error::Storage)?;
        self.preallocate(storage, data_file.clone()).await?;
        if let Some(data_file) = &data_file {
            // Resize the file last: what it grows by is known to be zeros, so no zeros have to be written.
            data_file.set_size(layout.disk_size()).await.map_err(Error::Storage)?;
            data_file.flush().await.map_err(Error::Storage)?;
        }
        Ok(())
    }

    async fn preallocate<S: StorageMut + Clone>(
        &self,
        storage: S,
        data_file: Option<S>,
    ) -> Result<(), Error<S::Error>> {
        let preallocation = match self.preallocation {
            // Other programs may write a raw data file directly, so every cluster of it is mapped, as in QEMU.
            Preallocation::Off if self.data_file_raw => Preallocation::Metadata,
            Preallocation::Off => return Ok(()),
            preallocation => preallocation,
        };
        let mut options = OpenOptions::new().backing(WithoutBacking);
        if let Some(data_file) = data_file {
            options = options.data_file(data_file);
        }
        if let Some(encryption) = &self.encryption {
            options = encryption.unlock(options);
        }
        let image = Image::open_writable(storage, options).await?;
        // Extended L2 entries record allocation per subcluster, which QEMU leaves to later writes.
        let visible = self.backing.is_none() && !self.extended_l2;
        image.preallocate(visible, preallocation == Preallocation::Full).await?;
        image.close().await
    }

    fn check(&self) -> Result<(), CreateFault> {
        let size = self.cluster_size;
        if !size.is_power_of_two() || Geometry::new(size.trailing_zeros(), false).is_none() {
            return Err(CreateFault::ClusterSize(size));
        }
        if !self.refcount_bits.is_power_of_two() || self.refcount_bits > 64 {
            return Err(CreateFault::RefcountBits(self.refcount_bits));
        }
        let version_3_only = [
            (self.refcount_bits != 16, "another refcount width than 16 bits"),
            (self.lazy_refcounts, "lazy refcounts"),
            (self.extended_l2, "extended L2 entries"),
            (self.needs_compression_feature(), "another compression than zlib"),
            (self.data_file.is_some(), "an external data file"),
        ];
        match self.version {
            2 => {
                if let Some((_, what)) = version_3_only.iter().find(|(asked, _)| *asked) {
                    return Err(CreateFault::NeedsVersion3(what));
                }
            }
            3 => {}
            version => return Err(CreateFault::Version(version)),
        }
        if self.extended_l2 && Geometry::new(size.trailing_zeros(), true).is_none() {
            return Err(CreateFault::ClusterTooSmallForExtendedL2(size));
        }
        match &self.backing {
            Some((name, _)) if name.is_empty() => Err(CreateFault::EmptyBackingName),
            Some((name, _)) if name.len() > MAX_BACKING_NAME => Err(CreateFault::BackingNameTooLong(name.len())),
            Some(_) if self.data_file_raw => Err(CreateFault::RawDataFileWithBacking),
            Some(_) if self.preallocation != Preallocation::Off && !self.extended_l2 => {
                Err(CreateFault::PreallocationWithBacking)
            }
            _ => Ok(()),
        }
    }

    fn needs_compression_feature(&self) -> bool {
        self.compression.header_value() != 0
    }

    fn incompatible_features(&self) -> u64 {
        let data_file = if self.data_file.is_some() { feature::DATA_FILE } else { 0 };
        let extended = if self.extended_l2 { feature::EXTENDED_L2 } else { 0 };
        let compression = if self.needs_compression_feature() { feature::COMPRESSION } else { 0 };
        data_file | extended | compression
    }
}
