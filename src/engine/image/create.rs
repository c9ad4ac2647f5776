//! Creating an image.

use alloc::string::String;
use alloc::vec;

use super::Image;
use super::open::OpenOptions;
use crate::codec::CompressionType;
use crate::error::{CreateFault, Error};
use crate::format::geometry::Geometry;
use crate::format::header::RawHeader;
use crate::format::header::emit::{HeaderTail, emit_header};
use crate::format::header::extension::CryptoHeader;
use crate::format::header::feature;
use crate::format::l1::{L1_ENTRY_SIZE, MAX_L1_ENTRIES};
use crate::format::refcount::{RefcountWidth, TABLE_ENTRY_SIZE};
use crate::image::chain::backing::{BackingFormat, BackingResolver, WithoutBacking};
use crate::image::encryption::create::{EncryptOptions, Sealed};
use crate::storage::StorageMut;

const SECTOR: u64 = 512;
const MAX_BACKING_NAME: usize = 1023;

/// What the image to create is like. The defaults are those of `qemu-img create`.
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

/// What the external data file of an image is for other programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataFileLayout {
    /// Clusters in any order, which only the image can tell apart.
    #[default]
    Clusters,
    /// A raw image of the disk, which other programs can read without the image file.
    Raw,
}

/// What of a new image is allocated at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preallocation {
    /// Nothing.
    #[default]
    Off,
    /// Every cluster, without its data: the file is as long as it will be, but sparse where the storage allows it.
    Metadata,
    /// Every cluster, filled with zeros.
    Full,
}

impl CreateOptions {
    /// An image for a disk of `size` bytes, rounded up to a multiple of 512.
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

    /// The version of the format: 2 (`compat=0.10`) or 3 (`compat=1.1`, the default).
    #[must_use]
    pub fn version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// The size of a cluster in bytes: a power of two from 512 to 2 MiB; default 64 KiB.
    #[must_use]
    pub fn cluster_size(self, bytes: u64) -> Self {
        Self { cluster_size: bytes, ..self }
    }

    /// The width of a reference count: 1, 2, 4, 8, 16 (the default), 32 or 64 bits.
    #[must_use]
    pub fn refcount_bits(self, bits: u32) -> Self {
        Self { refcount_bits: bits, ..self }
    }

    /// Lets reference counts be written late, so that an image that isn't closed has to be repaired.
    #[must_use]
    pub fn lazy_refcounts(self, lazy: bool) -> Self {
        Self { lazy_refcounts: lazy, ..self }
    }

    /// Maps in subclusters, of 1/32 of a cluster.
    #[must_use]
    pub fn extended_l2(self, extended: bool) -> Self {
        Self { extended_l2: extended, ..self }
    }

    /// How clusters are compressed that are written compressed.
    #[must_use]
    pub fn compression(self, compression: CompressionType) -> Self {
        Self { compression, ..self }
    }

    /// The name and the format of the backing file to record: a format that is not recorded would have to be guessed
    /// from bytes that a guest may have written.
    #[must_use]
    pub fn backing_file(self, name: impl Into<String>, format: BackingFormat) -> Self {
        Self { backing: Some((name.into(), format)), ..self }
    }

    /// Keeps the guest's data in an external data file. `name` is what the image records; nothing if it is empty.
    #[must_use]
    pub fn data_file(self, name: impl Into<String>, layout: DataFileLayout) -> Self {
        Self { data_file: Some(name.into()), data_file_raw: layout == DataFileLayout::Raw, ..self }
    }

    /// What is allocated at once; default nothing.
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

    /// Creates the image in `storage`, and opens it for writing. What `storage` and the data file held is gone.
    ///
    /// `open` supplies the external data file if there is one, and the backing file if one is named: its contents show in
    /// the new image. The passphrase is that of [`CreateOptions::encryption`].
    ///
    /// # Errors
    ///
    /// [`CreateFault`] if the options contradict each other or exceed the format's limits; nothing is written then. After
    /// any other error, and if the future is dropped, `storage` holds no image, because the header is written last; or the
    /// whole image, if only the opening failed, as without the backing file.
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

    /// Writes the new image to `storage`, as [`CreateOptions::create`] does, without opening it. Often `storage` and
    /// `data_file` are references.
    pub async fn write_to<S: StorageMut + Clone>(
        &self,
        storage: S,
        data_file: Option<S>,
    ) -> Result<(), Error<S::Error>> {
        let plan = self.plan()?;
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
        plan.write(&storage, sealed.as_ref()).await.map_err(Error::Storage)?;
        self.preallocate(storage, data_file.clone()).await?;
        if let Some(data_file) = &data_file {
            // Not before: what a file grows by is known to be zeros, so none have to be written.
            data_file.set_size(plan.header.size).await.map_err(Error::Storage)?;
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
            // A raw data file is the disk, whoever writes it: so every cluster of it is mapped, as QEMU does it.
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
        // Extended entries say it for each subcluster, and QEMU leaves that to the writes that come.
        let shown = self.backing.is_none() && !self.extended_l2;
        image.preallocate(shown, preallocation == Preallocation::Full).await?;
        image.close().await
    }

    fn plan(&self) -> Result<Layout, CreateFault> {
        self.check()?;
        let cluster_bits = self.cluster_size.trailing_zeros();
        let geometry =
            Geometry::new(cluster_bits, self.extended_l2).ok_or(CreateFault::ClusterSize(self.cluster_size))?;
        let size = self.size.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX);
        let largest = MAX_L1_ENTRIES.saturating_mul(geometry.l2_coverage()).min(1 << 61);
        if size > largest {
            return Err(CreateFault::DiskTooLarge { size, largest });
        }
        let refcount_order = self.refcount_bits.trailing_zeros();
        let mut header = RawHeader {
            version: self.version,
            backing_file_offset: 0,
            backing_file_size: 0,
            cluster_bits,
            size,
            crypt_method: self.encryption.as_ref().map_or(0, EncryptOptions::method),
            // At most the limit, which fits.
            l1_size: u32::try_from(geometry.l1_entries_for(size)).unwrap_or(u32::MAX),
            l1_table_offset: 0,
            refcount_table_offset: self.cluster_size,
            refcount_table_clusters: 0,
            nb_snapshots: 0,
            snapshots_offset: 0,
            incompatible_features: self.incompatible_features(),
            compatible_features: if self.lazy_refcounts { feature::LAZY_REFCOUNTS } else { 0 },
            autoclear_features: if self.data_file_raw { feature::RAW_DATA_FILE } else { 0 },
            refcount_order,
            header_length: 0,
            compression_type: self.compression.header_value(),
        };
        let crypto_bytes = self.encryption.as_ref().map_or(Ok(0), EncryptOptions::area)?;
        let crypto = crypto_bytes.div_ceil(self.cluster_size);
        let layout = Counted::new(geometry, RefcountWidth::new(refcount_order), u64::from(header.l1_size), crypto);
        header.refcount_table_clusters = u32::try_from(layout.table).unwrap_or(u32::MAX);
        header.l1_table_offset = (1 + layout.table + layout.blocks) << cluster_bits;
        let crypto_start = (layout.total - crypto) << cluster_bits;
        let tail = HeaderTail {
            crypto_header: (crypto > 0).then_some(CryptoHeader { offset: crypto_start, length: crypto_bytes }),
            backing_format: self.backing.as_ref().map(|(_, format)| format.name()),
            data_file_name: self.data_file.as_deref().filter(|name| !name.is_empty()),
            backing_name: self.backing.as_ref().map(|(name, _)| name.as_str()),
        };
        let head = emit_header(&mut header, &tail);
        if head.len() as u64 > self.cluster_size {
            return Err(CreateFault::NamesTooLong { length: head.len() as u64, cluster_size: self.cluster_size });
        }
        Ok(Layout { header, head, geometry, counted: layout, crypto_start })
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

/// How many clusters each part of a new image takes. They follow the header in this order.
#[derive(Clone, Copy)]
struct Counted {
    table: u64,
    blocks: u64,
    total: u64,
    width: RefcountWidth,
}

impl Counted {
    fn new(geometry: Geometry, width: RefcountWidth, l1_entries: u64, crypto: u64) -> Self {
        let l1 = (l1_entries * L1_ENTRY_SIZE).div_ceil(geometry.cluster_size());
        let per_block = 1 << width.block_bits(geometry.cluster_bits());
        let per_table_cluster = geometry.cluster_size() / TABLE_ENTRY_SIZE;
        let (mut table, mut blocks) = (1, 1);
        // Each round needs no fewer than the last; a block counts at least 64 clusters, so it soon comes to rest.
        loop {
            let total = 1 + table + blocks + l1 + crypto;
            let needed = total.div_ceil(per_block);
            let table_needed = needed.div_ceil(per_table_cluster);
            if needed <= blocks && table_needed <= table {
                return Self { table, blocks, total, width };
            }
            (blocks, table) = (blocks.max(needed), table.max(table_needed));
        }
    }
}

/// A new image, ready to be written.
struct Layout {
    header: RawHeader,
    head: alloc::vec::Vec<u8>,
    geometry: Geometry,
    counted: Counted,
    /// Where the LUKS header goes: behind all else.
    crypto_start: u64,
}

impl Layout {
    async fn write<S: StorageMut>(&self, storage: &S, sealed: Option<&Sealed>) -> Result<(), S::Error> {
        let (counted, cluster_size) = (self.counted, self.geometry.cluster_size());
        // Everything that isn't written below is zero: the L1 table above all.
        storage.set_size(0).await?;
        storage.set_size(counted.total * cluster_size).await?;
        let first_block = 1 + counted.table;
        for index in 0..counted.blocks {
            let place = (first_block + index) * cluster_size;
            storage.write_at(place, &self.refcount_block(index)).await?;
            storage.write_at(cluster_size + index * TABLE_ENTRY_SIZE, &place.to_be_bytes()).await?;
        }
        if let Some(sealed) = sealed {
            sealed.write(storage, self.crypto_start).await?;
        }
        storage.flush().await?;
        storage.write_at(0, &self.head).await?;
        storage.flush().await
    }

    /// Block `index`, up to its last count that isn't 0.
    fn refcount_block(&self, index: u64) -> alloc::vec::Vec<u8> {
        let width = self.counted.width;
        let bits = width.block_bits(self.geometry.cluster_bits());
        let used = self.counted.total.saturating_sub(index << bits).min(1 << bits);
        let words = (used * u64::from(width.bits())).div_ceil(64);
        // At most a cluster.
        let mut block = vec![0; usize::try_from(words).unwrap_or(0)];
        for count in 0..used {
            let place = width.position(count);
            if let Some(word) = block.get_mut(usize::try_from(place.word_byte / 8).unwrap_or(usize::MAX)) {
                *word = width.set(*word, place, 1);
            }
        }
        block.iter().flat_map(|word: &u64| word.to_be_bytes()).collect()
    }
}
