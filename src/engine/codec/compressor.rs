//! Packing clusters away from the image that they go to.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroUsize;

use super::contract::Compress;

/// Packs parts of a disk, cluster by cluster, for [`Image::write_packed`](crate::Image::write_packed): in another thread,
/// since that is what takes long.
pub struct Packer {
    codec: Box<dyn Compress>,
    cluster_size: NonZeroUsize,
}

/// Clusters one behind the other, each as it is to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedClusters {
    /// How many bytes each cluster takes: 0 where all of it is zeros, a whole cluster where packing doesn't make it smaller.
    pub lengths: Vec<u32>,
    /// The bytes of all of them.
    pub bytes: Vec<u8>,
}

impl Packer {
    /// Packs by `codec` for an image that has clusters of `cluster_size`.
    pub fn new(codec: Box<dyn Compress>, cluster_size: NonZeroUsize) -> Self {
        Self { codec, cluster_size }
    }

    /// Packs a part of a disk that begins with a cluster. Where the last one is not whole, it goes on with zeros.
    pub fn pack(&mut self, disk: &[u8]) -> PackedClusters {
        let cluster_size = self.cluster_size.get();
        let mut packed = PackedClusters::default();
        let mut place = vec![0; cluster_size];
        let mut last = Vec::new();
        for data in disk.chunks(cluster_size) {
            let cluster = if data.len() == cluster_size {
                data
            } else {
                last.extend_from_slice(data);
                last.resize(cluster_size, 0);
                &last
            };
            let stored = self.pack_cluster(cluster, &mut place);
            // A cluster has at most 2 MiB.
            packed.lengths.push(u32::try_from(stored.len()).unwrap_or(u32::MAX));
            packed.bytes.extend_from_slice(stored);
        }
        packed
    }

    fn pack_cluster<'a>(&mut self, cluster: &'a [u8], place: &'a mut [u8]) -> &'a [u8] {
        if cluster.iter().all(|byte| *byte == 0) {
            return &[];
        }
        let smaller = cluster.len().saturating_sub(1);
        let packed = place.get_mut(..smaller).and_then(|place| self.codec.compress(cluster, place));
        packed.and_then(|length| place.get(..length)).unwrap_or(cluster)
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").field("cluster_size", &self.cluster_size).finish_non_exhaustive()
    }
}
