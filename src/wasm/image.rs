//! An open image, for JavaScript.

use wasm_bindgen::prelude::*;

use super::buffers::{Buffers, Target};
use super::error::{other, to_js};
use super::map::WasmMap;
use super::object::Value;
use super::resolver::Resolver;
use super::storage::{JsStorage, Storages};
use super::task::start;
use crate::image::Image;
use crate::image::open::OpenOptions;
use crate::ready::now_or_never;

/// An open image, or one of its snapshots. Freeing it does not end what is under way.
#[wasm_bindgen]
pub struct WasmImage {
    image: Image<JsStorage>,
    storages: Storages,
    buffers: Buffers,
}

#[wasm_bindgen]
impl WasmImage {
    /// Opens an image: a `WasmImage` now, or a promise of it. `data_file` may be undefined; `resolver` is a function of
    /// name, format and depth; the caches are in bytes.
    pub fn open(
        storage: JsValue,
        data_file: JsValue,
        resolver: js_sys::Function,
        table_cache: Option<usize>,
        cluster_cache: Option<usize>,
    ) -> Result<JsValue, JsValue> {
        let storages = Storages::new();
        let storage = storages.storage(storage);
        let resolver = Resolver { function: resolver, storages: storages.clone() };
        let mut options = OpenOptions::new().backing(resolver);
        if !data_file.is_undefined() {
            options = options.data_file(storages.storage(data_file));
        }
        if let Some(bytes) = table_cache {
            options = options.table_cache(bytes);
        }
        if let Some(bytes) = cluster_cache {
            options = options.cluster_cache(bytes);
        }
        start(async move {
            let image = Image::open(storage, options).await.map_err(to_js)?;
            Ok(Self { image, storages, buffers: Buffers::default() }.into())
        })
    }

    /// The disk's size in bytes.
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> JsValue {
        self.image.size().to_js()
    }

    /// True if `read_sync` works.
    #[wasm_bindgen(getter)]
    pub fn sync(&self) -> bool {
        self.storages.all_sync()
    }

    /// The length of the VM state in bytes.
    #[wasm_bindgen(getter)]
    pub fn vm_state_size(&self) -> JsValue {
        self.image.vm_state_size().to_js()
    }

    /// Fills an array with the disk's bytes from `offset` on.
    pub fn read(&self, offset: u64, into: Target) -> Result<JsValue, JsValue> {
        let (image, buffers) = (self.image.clone(), self.buffers.clone());
        start(async move { buffers.fill(&into, offset, async |at, buf| image.read_at(at, buf).await).await })
    }

    /// The same, at once.
    pub fn read_sync(&self, offset: u64, into: &Target) -> Result<(), JsValue> {
        let read = self.buffers.fill(into, offset, async |at, buf| self.image.read_at(at, buf).await);
        let result = if self.storages.all_sync() { now_or_never(read) } else { None };
        result.unwrap_or_else(|| Err(not_sync()))?;
        Ok(())
    }

    /// Fills an array with the VM state's bytes from `offset` on.
    pub fn read_vm_state(&self, offset: u64, into: Target) -> Result<JsValue, JsValue> {
        let (image, buffers) = (self.image.clone(), self.buffers.clone());
        start(async move { buffers.fill(&into, offset, async |at, buf| image.read_vm_state(at, buf).await).await })
    }

    /// What the image is.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        start(async move { Ok(image.info().await.map_err(to_js)?.to_js()) })
    }

    /// How the byte at `offset` is mapped.
    pub fn locate(&self, offset: u64) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        start(async move { Ok(image.locate(offset).await.map_err(to_js)?.to_js()) })
    }

    /// The map of a part of the disk.
    pub fn map(&self, offset: u64, length: u64) -> Result<WasmMap, JsValue> {
        Ok(WasmMap::new(self.image.map(offset, length).map_err(to_js)?, offset))
    }

    /// The snapshots.
    pub fn snapshots(&self) -> JsValue {
        self.image.snapshots().to_vec().to_js()
    }

    /// Opens a snapshot.
    pub fn open_snapshot(&self, id_or_name: &str) -> Result<WasmImage, JsValue> {
        let image = self.image.open_snapshot(id_or_name).map_err(to_js)?;
        Ok(Self { image, storages: self.storages.clone(), buffers: self.buffers.clone() })
    }
}

/// What can be said of a file.
#[wasm_bindgen]
pub fn inspect(storage: JsValue) -> Result<JsValue, JsValue> {
    let storage = Storages::new().storage(storage);
    start(async move {
        let inspection = crate::image::inspect::inspect(&storage).await;
        Ok(inspection.map_err(|fault| to_js(crate::error::Error::Storage(fault)))?.to_js())
    })
}

fn not_sync() -> JsValue {
    other("NOT_SYNC", "a storage of this image is asynchronous, so it can't be read synchronously")
}
