//! An open image and the operations on it, one directory per subject.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::storage::Storage;
use layer::{Layer, Qcow2File};

pub(crate) mod bitmap;
pub(crate) mod chain;
pub(crate) mod change;
pub(crate) mod check;
pub(crate) mod compact;
pub(crate) mod create;
pub(crate) mod encryption;
pub(crate) mod info;
mod layer;
pub(crate) mod open;
pub(crate) mod options;
pub(crate) mod progress;
pub(crate) mod read;
pub(crate) mod repair;
pub(crate) mod snapshot;
pub(crate) mod write;

/// An open image, or one of its snapshots, with its backing chain.
///
/// Every method takes `&self`, requests may overlap, and a future may be dropped at any await. A clone is the same
/// image: it shares the storages and the caches. Reading a corrupt part returns an error and leaves the image usable.
pub struct Image<S: Storage> {
    top: Rc<Qcow2File<S>>,
    /// The image itself, then its backing file, and so on.
    layers: Rc<[Layer<S>]>,
    /// The length of the VM state after the disk in bytes: that of the open snapshot, otherwise 0.
    vm_state_size: u64,
}

impl<S: Storage> Image<S> {
    /// The longest backing chain that is opened. The limit stops chains that contain themselves.
    pub const MAX_CHAIN: u32 = 1000;

    /// The size of the disk in bytes: a multiple of 512, at most 2^61.
    pub fn size(&self) -> u64 {
        self.disk().size()
    }

    /// Returns whether the image was not closed properly.
    ///
    /// Its refcounts may be wrong; reads do not use them.
    pub fn is_dirty(&self) -> bool {
        self.top.header().is_dirty()
    }

    /// Returns whether a program found the image corrupt and marked it.
    pub fn is_corrupt(&self) -> bool {
        self.top.header().is_corrupt()
    }

    /// The image's own layer.
    fn disk(&self) -> &Layer<S> {
        // `open` puts it there before any other.
        &self.layers[0]
    }

    /// Whether the last file of the chain names a backing file that is not open. Its contents are read as zeros.
    fn lacks_backing(&self) -> bool {
        matches!(self.layers.last(), Some(Layer::Qcow2 { file, .. }) if file.header().raw().has_backing_file())
    }

    /// Returns the same image with `disk` in place of its own disk.
    fn with_disk(&self, disk: Layer<S>, vm_state_size: u64) -> Self {
        let mut layers: Vec<_> = self.layers.to_vec();
        layers[0] = disk;
        Self { top: self.top.clone(), layers: layers.into(), vm_state_size }
    }
}

impl<S: Storage> Clone for Image<S> {
    fn clone(&self) -> Self {
        Self { top: self.top.clone(), layers: self.layers.clone(), vm_state_size: self.vm_state_size }
    }
}

impl<S: Storage> core::fmt::Debug for Image<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Image")
            .field("size", &self.size())
            .field("layers", &self.layers.len())
            .field("snapshots", &self.snapshots().len())
            .finish_non_exhaustive()
    }
}
