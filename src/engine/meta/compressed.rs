//! Compressing and decompressing the clusters of a file.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::buffer_pool::Buffers;
use super::host_file::{FileId, HostFile};
use super::second_chance::{Evictable, SecondChance};
use crate::codec::{Codec, Compress, CompressionType, Decompress};
use crate::error::{Corrupt, Error, Unsupported};
use crate::format::l2::CompressedSpan;
use crate::storage::Storage;

/// The largest total size of the unused buffers, in bytes.
const MAX_BUFFERS: usize = 1 << 20;

/// A cache of decompressed clusters from which a request read only a range, for all files of a chain.
pub(crate) struct ClusterCache {
    clusters: RefCell<Clusters>,
    buffers: Buffers,
}

type Clusters = SecondChance<Key, Rc<Vec<u8>>>;

/// Identifies a cluster: its file, and where its compressed bytes are.
type Key = (FileId, CompressedSpan);

/// A read of a range of a compressed cluster.
pub(crate) struct CompressedRead<'a> {
    pub(crate) span: CompressedSpan,
    /// The offset of the range in the cluster, in bytes.
    pub(crate) skip: usize,
    /// The destination; at most a cluster less `skip`.
    pub(crate) buf: &'a mut [u8],
}

/// Compresses and decompresses the clusters of one file.
pub(crate) struct Compressed {
    cluster_size: usize,
    codec: CodecSlot,
    cache: Rc<ClusterCache>,
}

/// The codec of a file. Its compressor and its decompressor are created when they are first needed.
pub(crate) struct CodecSlot {
    kind: CompressionType,
    codec: Codec,
    decompressor: RefCell<Option<Box<dyn Decompress>>>,
    compressor: RefCell<Option<Box<dyn Compress>>>,
}

impl Evictable for Rc<Vec<u8>> {
    fn is_evictable(&self) -> bool {
        true
    }
}

impl ClusterCache {
    /// Creates a cache of at most `budget` bytes of clusters, and of at least one cluster.
    ///
    /// Unused buffers take at most another quarter of that, and at most [`MAX_BUFFERS`].
    pub(crate) fn new(budget: usize) -> Self {
        let buffers = Buffers::new((budget / 4).min(MAX_BUFFERS));
        Self { clusters: RefCell::new(SecondChance::new(budget)), buffers }
    }

    /// Completes `read` if its cluster is cached, and returns whether it is.
    fn copy_to(&self, file: FileId, read: &mut CompressedRead<'_>) -> bool {
        let clusters = self.clusters.borrow_mut();
        let cluster = clusters.get((file, read.span));
        cluster.is_some_and(|cluster| read.copy_from(cluster))
    }

    fn keep(&self, file: FileId, span: CompressedSpan, cluster: Vec<u8>) {
        let bytes = cluster.capacity() + Clusters::OVERHEAD + size_of::<Vec<u8>>();
        self.clusters.borrow_mut().insert((file, span), Rc::new(cluster), bytes, |evicted| {
            if let Ok(buffer) = Rc::try_unwrap(evicted) {
                self.buffers.put(buffer);
            }
        });
    }
}

impl CompressedRead<'_> {
    /// Copies the range from `cluster`. Returns false if `cluster` is too short.
    fn copy_from(&mut self, cluster: &[u8]) -> bool {
        let end = self.skip.saturating_add(self.buf.len());
        cluster.get(self.skip..end).is_some_and(|range| {
            self.buf.copy_from_slice(range);
            true
        })
    }
}

impl Compressed {
    pub(crate) fn new(cluster_size: usize, codec: CodecSlot, cache: Rc<ClusterCache>) -> Self {
        Self { cluster_size, codec, cache }
    }

    /// Compresses a whole cluster. Returns `None` if that doesn't make it smaller.
    pub(crate) fn compress(&self, cluster: &[u8]) -> Result<Option<Vec<u8>>, Unsupported> {
        let mut compressed = self.cache.buffers.take(cluster.len().saturating_sub(1));
        let length = self.codec.compress(cluster, &mut compressed)?;
        Ok(length.map(|length| {
            compressed.truncate(length);
            compressed
        }))
    }

    /// Returns the buffer of [`Compressed::compress`] to the pool.
    pub(crate) fn recycle(&self, compressed: Vec<u8>) {
        self.cache.buffers.put(compressed);
    }

    /// Removes the cluster at `span` from the cache, because it is overwritten.
    pub(crate) fn forget(&self, file: FileId, span: CompressedSpan) {
        self.cache.clusters.borrow_mut().remove((file, span));
    }

    /// Carries out `reads`, whose spans are close together in `file`, with one storage request.
    pub(crate) async fn read<S: Storage>(
        &self,
        file: &HostFile<S>,
        reads: &mut [CompressedRead<'_>],
    ) -> Result<(), Error<S::Error>> {
        // A whole cluster is decompressed in place and not cached, so there is no lookup for it either.
        let mut all_cached = true;
        for read in reads.iter_mut() {
            all_cached &= read.buf.len() < self.cluster_size && self.cache.copy_to(file.id(), read);
        }
        let start = reads.iter().map(|read| read.span.start).min();
        let (Some(start), false) = (start, all_cached) else {
            return Ok(());
        };
        let end = reads.iter().map(|read| read.span.end()).max().unwrap_or(start);
        // The caller bounds the group, and a span is at most 4 MiB.
        let mut compressed = self.cache.buffers.take(usize::try_from(end.0 - start.0).unwrap_or(usize::MAX));
        file.read(start, &mut compressed).await.map_err(Error::Storage)?;
        for read in reads.iter_mut() {
            let at = usize::try_from(read.span.start.0 - start.0).unwrap_or(usize::MAX);
            let length = usize::try_from(read.span.length).unwrap_or(usize::MAX);
            // Within the buffer, which reaches from the first span's start to the last one's end.
            let stream = compressed.get(at..at.saturating_add(length)).unwrap_or(&[]);
            self.decompress(file.id(), stream, read)?;
        }
        self.cache.buffers.put(compressed);
        Ok(())
    }

    fn decompress<E>(&self, file: FileId, stream: &[u8], read: &mut CompressedRead<'_>) -> Result<(), Error<E>> {
        if read.buf.len() == self.cluster_size {
            return self.codec.decompress(read.span, stream, read.buf);
        }
        if self.cache.copy_to(file, read) {
            return Ok(());
        }
        let mut cluster = self.cache.buffers.take(self.cluster_size);
        self.codec.decompress(read.span, stream, &mut cluster)?;
        read.copy_from(&cluster);
        self.cache.keep(file, read.span, cluster);
        Ok(())
    }
}

impl CodecSlot {
    pub(crate) fn new(kind: CompressionType, codec: Codec) -> Self {
        Self { kind, codec, decompressor: RefCell::default(), compressor: RefCell::default() }
    }

    fn compress(&self, cluster: &[u8], output: &mut [u8]) -> Result<Option<usize>, Unsupported> {
        let make = self.codec.compressor.ok_or(Unsupported::NoCodec { name: self.kind.name() })?;
        let mut compressor = self.compressor.borrow_mut();
        Ok(compressor.get_or_insert_with(|| make(self.kind.default_level())).compress(cluster, output))
    }

    fn decompress<E>(&self, span: CompressedSpan, stream: &[u8], cluster: &mut [u8]) -> Result<(), Error<E>> {
        let make = self.codec.decompressor.ok_or(Unsupported::NoCodec { name: self.kind.name() })?;
        let mut decompressor = self.decompressor.borrow_mut();
        decompressor
            .get_or_insert_with(make)
            .decompress(stream, cluster)
            .map_err(|error| Corrupt::Compressed { offset: span.start.0, error }.into())
    }
}
