//! An open image: one public operation a file.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::storage::Storage;
use layer::{Layer, Qcow2File};

pub(crate) mod bitmap;
pub(crate) mod chain;
pub(crate) mod change;
pub(crate) mod check;
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

/// An open image, or one of its snapshots, with the chain of its backing files.
///
/// Every method takes `&self`, requests overlap, and dropping a future at any await is safe. A clone is the same
/// image: it shares the storages and the caches. Reading a damaged part gives an error and leaves the image usable.
pub struct Image<S: Storage> {
    top: Rc<Qcow2File<S>>,
    /// The image itself, then its backing file, and so on.
    layers: Rc<[Layer<S>]>,
    /// Bytes of VM state behind the disk: those of the snapshot that is open, else 0.
    vm_state_size: u64,
}

impl<S: Storage> Image<S> {
    /// The longest chain of backing files that is opened. The bound is there for chains that contain themselves.
    pub const MAX_CHAIN: u32 = 1000;

    /// The size of the disk in bytes: a multiple of 512, at most 2^61.
    pub fn size(&self) -> u64 {
        self.disk().size()
    }

    /// The image was not closed properly: its reference counts may be wrong. Reading doesn't depend on them.
    pub fn is_dirty(&self) -> bool {
        self.top.header().is_dirty()
    }

    /// A program found the image damaged and marked it.
    pub fn is_corrupt(&self) -> bool {
        self.top.header().is_corrupt()
    }

    /// The image's own layer.
    fn disk(&self) -> &Layer<S> {
        // `open` puts it there before any other.
        &self.layers[0]
    }

    /// The last file of the chain names another one, which is not open: what that shows is taken for zeros.
    fn lacks_backing(&self) -> bool {
        matches!(self.layers.last(), Some(Layer::Qcow2 { file, .. }) if file.header().raw().has_backing_file())
    }

    /// The same image with another disk in the place of its own.
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
