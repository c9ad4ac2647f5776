//! An open image, for JavaScript.

use alloc::rc::Rc;

use qcow2_web::Image;
use wasm_bindgen::prelude::*;

use super::buffers::Bytes;
use super::error::{other, to_js};
use super::map::WasmMap;
use super::object::{Value, integer, number};
use super::runtime::Runtime;
use super::storage::JsStorage;
use super::tasks::Outcome;

/// An open image, or one of its snapshots. Freeing it does not end its running requests.
#[wasm_bindgen]
pub struct WasmImage {
    pub(super) image: Image<JsStorage>,
    pub(super) runtime: Rc<Runtime>,
}

impl WasmImage {
    pub(crate) fn new(image: Image<JsStorage>, runtime: Rc<Runtime>) -> Self {
        Self { image, runtime }
    }

    /// Runs a request that must not wait.
    pub(super) fn now(&self, request: impl Future<Output = Outcome>) -> Outcome {
        if !self.runtime.all_sync() {
            return Err(not_sync());
        }
        self.runtime.call_sync(request).unwrap_or_else(|| Err(busy()))
    }
}

#[wasm_bindgen]
impl WasmImage {
    /// The size of the disk in bytes.
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> JsValue {
        self.image.size().to_js()
    }

    /// Whether `read_sync` works.
    #[wasm_bindgen(getter)]
    pub fn sync(&self) -> bool {
        self.runtime.all_sync()
    }

    /// The length of the VM state in bytes.
    #[wasm_bindgen(getter)]
    pub fn vm_state_size(&self) -> JsValue {
        self.image.vm_state_size().to_js()
    }

    /// Reads the disk from `offset` into an array.
    pub fn read(&self, offset: u64, into: Bytes) -> Result<JsValue, JsValue> {
        let (image, runtime) = (self.image.clone(), self.runtime.clone());
        self.runtime.start(async move {
            runtime.buffers.fill(&into, offset, async |at, buf| image.read_at(at, buf).await).await
        })
    }

    /// As [`WasmImage::read`], without waiting.
    pub fn read_sync(&self, offset: u64, into: &Bytes) -> Result<(), JsValue> {
        let read = self.runtime.buffers.fill(into, offset, async |at, buf| self.image.read_at(at, buf).await);
        self.now(read)?;
        Ok(())
    }

    /// Returns the current host offset of a range of the disk, see `Image::cached_host_offset`. Returns -1 if it has to
    /// be read through the engine.
    pub fn cached_host_offset(&self, offset: u64, length: f64) -> f64 {
        self.image.cached_host_offset(offset, integer(length)).map_or(-1.0, number)
    }

    /// Reads the VM state from `offset` into an array.
    pub fn read_vm_state(&self, offset: u64, into: Bytes) -> Result<JsValue, JsValue> {
        let (image, runtime) = (self.image.clone(), self.runtime.clone());
        self.runtime.start(async move {
            runtime.buffers.fill(&into, offset, async |at, buf| image.read_vm_state(at, buf).await).await
        })
    }

    /// Returns the properties of the image.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { Ok(image.info().await.map_err(to_js)?.to_js()) })
    }

    /// Returns how the byte at `offset` is mapped.
    pub fn locate(&self, offset: u64) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { Ok(image.locate(offset).await.map_err(to_js)?.to_js()) })
    }

    /// Returns the map of a range of the disk.
    pub fn map(&self, offset: u64, length: u64) -> Result<WasmMap, JsValue> {
        let map = self.image.map(offset, length).map_err(to_js)?;
        Ok(WasmMap::new(map, offset, self.runtime.clone()))
    }

    /// Returns the snapshots.
    pub fn snapshots(&self) -> JsValue {
        self.image.snapshots().to_vec().to_js()
    }

    /// Opens a snapshot.
    pub fn open_snapshot(&self, id_or_name: &str) -> Result<WasmImage, JsValue> {
        let image = self.image.open_snapshot(id_or_name).map_err(to_js)?;
        Ok(Self { image, runtime: self.runtime.clone() })
    }
}

/// All storages are synchronous, so it is another request that makes this one wait.
fn busy() -> JsValue {
    other("BUSY", "another request to this image is under way, and this one has to wait for it; wait for it first")
}

fn not_sync() -> JsValue {
    other("NOT_SYNC", "a storage of this image is asynchronous, so nothing of it can be had synchronously")
}
