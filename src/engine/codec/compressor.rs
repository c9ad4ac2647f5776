//! Compresses clusters outside an image, for example in another thread.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroUsize;

use super::contract::Compress;

/// Compresses ranges of a disk by clusters, for [`Image::write_precompressed`](crate::Image::write_precompressed).
///
/// Compression is the slow step of a compressed write, so it is useful to run it in other threads.
pub struct Packer {
    codec: Box<dyn Compress>,
    cluster_size: NonZeroUsize,
}

/// Consecutive clusters in the form in which an image stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedClusters {
    /// The stored length of each cluster in bytes.
    ///
    /// It is 0 if the cluster is all zeros, and the cluster size if compression doesn't make the cluster smaller.
    pub lengths: Vec<u32>,
    /// The stored bytes of all clusters.
    pub bytes: Vec<u8>,
}

impl Packer {
    /// Creates a packer that uses `codec`, for an image with clusters of `cluster_size` bytes.
    pub fn new(codec: Box<dyn Compress>, cluster_size: NonZeroUsize) -> Self {
        Self { codec, cluster_size }
    }

    /// Compresses a range of a disk that begins at a cluster boundary. Zeros fill the rest of the last cluster.
    pub fn pack(&mut self, disk: &[u8]) -> PackedClusters {
        let cluster_size = self.cluster_size.get();
        let mut clusters = PackedClusters::default();
        let mut buffer = vec![0; cluster_size];
        let mut last = Vec::new();
        for data in disk.chunks(cluster_size) {
            let cluster = if data.len() == cluster_size {
                data
            } else {
                last.extend_from_slice(data);
                last.resize(cluster_size, 0);
                &last
            };
            let stored = self.pack_cluster(cluster, &mut buffer);
            // A cluster has at most 2 MiB.
            clusters.lengths.push(u32::try_from(stored.len()).unwrap_or(u32::MAX));
            clusters.bytes.extend_from_slice(stored);
        }
        clusters
    }

    fn pack_cluster<'a>(&mut self, cluster: &'a [u8], buffer: &'a mut [u8]) -> &'a [u8] {
        if cluster.iter().all(|byte| *byte == 0) {
            return &[];
        }
        let smaller = cluster.len().saturating_sub(1);
        let compressed = buffer.get_mut(..smaller).and_then(|output| self.codec.compress(cluster, output));
        compressed.and_then(|length| buffer.get(..length)).unwrap_or(cluster)
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").field("cluster_size", &self.cluster_size).finish_non_exhaustive()
    }
}
