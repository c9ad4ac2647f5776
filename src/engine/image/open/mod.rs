//! Opening an image and its backing chain.

pub(crate) mod header;
pub(crate) mod writable;

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{OnceCell, RefCell};

use super::Image;
use super::layer::{Damage, Layer, Qcow2File, View};
use crate::codec::Codecs;
use crate::error::{Error, FileFormat, Missing, Misuse, Unsupported};
use crate::format::header::Header;
use crate::format::probe::{PROBE_BYTES, format_of};
use crate::format::units::HostOffset;
use crate::image::chain::backing::{BackingFile, BackingFormat, BackingRequest, BackingResolver, NoBacking, Supply};
use crate::image::change::observer::Observers;
use crate::image::encryption::unlock::Keys;
use crate::image::open::header::StoredHeader;
use crate::image::snapshot::table::read_snapshot_table;
use crate::meta::compressed::{ClusterCache, CodecSlot, Compressed};
use crate::meta::current_header::CurrentHeader;
use crate::meta::host_file::{FileId, Files, HostFile};
use crate::meta::lookup::Tables;
use crate::meta::table_cache::TableCache;
use crate::storage::Storage;

/// Enough to map 32 GiB of disks with default clusters.
const DEFAULT_TABLE_CACHE: usize = 4 << 20;
/// Enough for 64 clusters of the default size.
const DEFAULT_CLUSTER_CACHE: usize = 4 << 20;

/// The options for opening an image. Creating them does no I/O.
#[derive(Debug)]
pub struct OpenOptions<S, R = NoBacking> {
    data_file: Option<S>,
    backing: R,
    pub(super) table_cache: usize,
    pub(super) write_through: bool,
    cluster_cache: usize,
    codecs: Codecs,
    pub(super) keys: Keys,
}

impl<S> OpenOptions<S> {
    /// Options with default caches, this build's codecs and no backing file.
    ///
    /// An image that names a backing file is refused.
    pub fn new() -> Self {
        Self {
            data_file: None,
            backing: NoBacking,
            table_cache: DEFAULT_TABLE_CACHE,
            write_through: false,
            cluster_cache: DEFAULT_CLUSTER_CACHE,
            codecs: Codecs::default(),
            keys: Keys::default(),
        }
    }
}

impl<S> Default for OpenOptions<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, R> OpenOptions<S, R> {
    /// Supplies the external data file of the image.
    #[must_use]
    pub fn data_file(self, storage: S) -> Self {
        Self { data_file: Some(storage), ..self }
    }

    pub(in crate::image) fn supplied_data_file(&self) -> Option<S>
    where
        S: Clone,
    {
        self.data_file.clone()
    }

    /// Sets the resolver that supplies the backing files.
    #[must_use]
    pub fn backing<T>(self, backing: T) -> OpenOptions<S, T> {
        let Self { data_file, backing: _, table_cache, write_through, cluster_cache, codecs, keys } = self;
        OpenOptions { data_file, backing, table_cache, write_through, cluster_cache, codecs, keys }
    }

    /// Limits the cached tables of the whole chain, in bytes. Default 4 MiB.
    ///
    /// At least one slice (at most 4 KiB) is always cached.
    #[must_use]
    pub fn table_cache(self, bytes: usize) -> Self {
        Self { table_cache: bytes, ..self }
    }

    /// Makes every write durable before it completes, as if a flush followed it. Default false.
    ///
    /// It only has an effect on an image that is opened for writing.
    #[must_use]
    pub fn write_through(self, write_through: bool) -> Self {
        Self { write_through, ..self }
    }

    /// Limits the cached decompressed clusters of the whole chain, in bytes. Default 4 MiB.
    ///
    /// At least one cluster is always cached.
    #[must_use]
    pub fn cluster_cache(self, bytes: usize) -> Self {
        Self { cluster_cache: bytes, ..self }
    }

    /// Sets the decompressors.
    #[must_use]
    pub fn codecs(self, codecs: Codecs) -> Self {
        Self { codecs, ..self }
    }
}

impl<S: Storage> Image<S> {
    /// Opens the image in `storage` and its backing files for reading.
    ///
    /// Damage that the active disk does not depend on, such as to the snapshot table or the refcount table, does not
    /// prevent reading: see [`Image::problems`]. Makes at most three requests (four if the header is longer than 64
    /// KiB) for each image of the chain, whatever its size. Dropping the future drops the storages.
    pub async fn open<R: BackingResolver<S>>(storage: S, options: OpenOptions<S, R>) -> Result<Self, Error<S::Error>> {
        let OpenOptions { data_file, backing: mut resolver, table_cache, cluster_cache, codecs, mut keys, .. } =
            options;
        let opener = Opener {
            codecs,
            tables: Rc::new(TableCache::new(table_cache)),
            clusters: Rc::new(ClusterCache::new(cluster_cache)),
        };
        let (top, mut backing) = opener.open_qcow2(storage, data_file, 0, &mut keys).await?;
        read_snapshot_table(&top).await?;
        let top = Rc::new(top);
        let mut layers = Vec::from([Layer::of(top.clone())]);
        let mut depth = 0;
        while let Some(reference) = backing {
            depth += 1;
            if depth > Self::MAX_CHAIN {
                return Err(Unsupported::ChainTooLong.into());
            }
            let request = BackingRequest { depth, name: &reference.name, format: reference.format.as_deref() };
            let supplied = match resolver.resolve(request).await.map_err(Error::Storage)? {
                // The error belongs to the file that names the backing file.
                Supply::Nothing => return Err(Error::from(request.into_missing()).at_depth(depth - 1)),
                Supply::Absent => break,
                Supply::File(file) => file,
            };
            let result = opener.open_backing(supplied, request, &mut keys).await;
            let (layer, next) = result.map_err(|error| error.at_depth(depth))?;
            layers.push(layer);
            backing = next;
        }
        Ok(Self { top, layers: layers.into(), vm_state_size: 0 })
    }
}

/// The state that the files of a chain share.
struct Opener {
    codecs: Codecs,
    tables: Rc<TableCache>,
    clusters: Rc<ClusterCache>,
}

/// The name and format of a backing file that an image records.
struct BackingReference {
    name: String,
    format: Option<String>,
}

impl Opener {
    async fn open_backing<S: Storage>(
        &self,
        supplied: BackingFile<S>,
        request: BackingRequest<'_>,
        keys: &mut Keys,
    ) -> Result<(Layer<S>, Option<BackingReference>), Error<S::Error>> {
        let BackingFile { storage, format, data_file } = supplied;
        let format = match (format, request.format) {
            (Some(format), _) => format,
            (None, Some(name)) => {
                BackingFormat::from_name(name).ok_or_else(|| Unsupported::BackingFormat { name: name.into() })?
            }
            (None, None) => probe_backing(&storage).await?,
        };
        match format {
            BackingFormat::Raw => {
                let file = HostFile::open(storage, FileId::image(request.depth)).await.map_err(Error::Storage)?;
                Ok((Layer::Raw(Rc::new(file)), None))
            }
            BackingFormat::Qcow2 => {
                let (file, backing) = self.open_qcow2(storage, data_file, request.depth, keys).await?;
                Ok((Layer::of(Rc::new(file)), backing))
            }
        }
    }

    async fn open_qcow2<S: Storage>(
        &self,
        storage: S,
        data_file: Option<S>,
        depth: u32,
        keys: &mut Keys,
    ) -> Result<(Qcow2File<S>, Option<BackingReference>), Error<S::Error>> {
        let file = HostFile::open(storage, FileId::image(depth)).await.map_err(Error::Storage)?;
        let stored = StoredHeader::read(&file).await.map_err(Error::Storage)??;
        let header = Header::check_to_read(stored.header.clone(), &stored.feature_names)?;
        if let Some(corrupt) = stored.fatal_extension_error() {
            return Err(corrupt.into());
        }
        stored.crypto_header()?;
        let damage = Damage { header: stored.problems(), snapshots: None };
        let data_file = match (header.has_data_file(), data_file) {
            (true, Some(storage)) => Some(HostFile::open(storage, FileId::data(depth)).await.map_err(Error::Storage)?),
            (true, None) => return Err(Missing::DataFile { name: stored.extensions.data_file_name() }.into()),
            (false, Some(_)) => return Err(Misuse::UnneededDataFile.into()),
            (false, None) => None,
        };
        let name = stored.backing_name(&file).await.map_err(Error::Storage)?;
        let backing = name.map(|name| BackingReference { name, format: stored.extensions.backing_format() });
        let tables = Tables::new(&header, self.tables.clone());
        let compressed = self.compressed(&header);
        let files = Files { image: file, data_file };
        let encrypted = keys.unlock(&files.image, &stored, depth).await?;
        let file = Qcow2File {
            files,
            active: Rc::new(View::new(header.l1_table(), header.disk_size())),
            current_header: Rc::new(CurrentHeader::new(header)),
            snapshots: RefCell::default(),
            bitmaps: Rc::default(),
            damage: RefCell::new(damage),
            open_snapshots: RefCell::default(),
            tables,
            compressed,
            encrypted,
            observers: Observers::default(),
            pause: RefCell::default(),
            writeback: OnceCell::new(),
        };
        Ok((file, backing))
    }

    fn compressed(&self, header: &Header) -> Compressed {
        let kind = header.compression();
        let codec = CodecSlot::new(kind, self.codecs.get(kind));
        // At most 2 MiB.
        let cluster_size = usize::try_from(header.geometry().cluster_size()).unwrap_or(0);
        Compressed::new(cluster_size, codec, self.clusters.clone())
    }
}

impl<S: Storage> Layer<S> {
    /// The active disk of `file`.
    fn of(file: Rc<Qcow2File<S>>) -> Self {
        let view = file.active.clone();
        Self::Qcow2 { file, view }
    }
}

impl FileId {
    fn image(depth: u32) -> Self {
        Self(2 * depth)
    }

    fn data(depth: u32) -> Self {
        Self(2 * depth + 1)
    }
}

/// Probes a backing file whose format is not recorded, as QEMU does.
async fn probe_backing<S: Storage>(storage: &S) -> Result<BackingFormat, Error<S::Error>> {
    let file = HostFile::open(storage, FileId::image(0)).await.map_err(Error::Storage)?;
    let bytes = file.read_up_to(HostOffset(0), PROBE_BYTES as u64).await.map_err(Error::Storage)?;
    match format_of(&bytes) {
        FileFormat::Qcow2 => Ok(BackingFormat::Qcow2),
        format if format.is_disk_image() => Err(Unsupported::Format(format).into()),
        _ => Ok(BackingFormat::Raw),
    }
}
