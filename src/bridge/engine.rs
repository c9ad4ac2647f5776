//! The entry point for JavaScript: opens files and receives the host's answers.

use alloc::rc::Rc;

use qcow2_web::Image;
#[cfg(feature = "edit")]
use qcow2_web::{Error, inspect};
use wasm_bindgen::prelude::*;

#[cfg(feature = "edit")]
use super::error::Fault;
use super::error::to_js;
use super::host::{Host, HostOpenOptions, HostStorage};
use super::image::WasmImage;
#[cfg(feature = "edit")]
use super::object::Value;
use super::open_options::open_options;
use super::runtime::Runtime;
use super::storage::JsStorage;

/// Runs an image, its snapshots and their requests.
#[wasm_bindgen]
pub struct WasmEngine(pub(super) Rc<Runtime>);

#[wasm_bindgen]
impl WasmEngine {
    /// Creates an engine that calls `host`.
    #[wasm_bindgen(constructor)]
    pub fn new(host: Host) -> Self {
        Self(Rc::new(Runtime::new(host)))
    }

    /// Opens an image, for writing if its storage is writable. The value is a [`WasmImage`]. The host supplies backing
    /// files and passphrases.
    pub fn open(&self, storage: HostStorage, how: &HostOpenOptions) -> Result<JsValue, JsValue> {
        let runtime = self.0.clone();
        let storage = JsStorage::new(storage, &runtime);
        let data_file = how.data_file().map(|file| JsStorage::new(file, &runtime));
        let options = open_options(&runtime, data_file, how);
        self.0.start(async move {
            #[cfg(feature = "edit")]
            if storage.is_writable() {
                let image = Image::open_writable(storage, options).await.map_err(to_js)?;
                return Ok(WasmImage::writable(image, runtime).into());
            }
            let image = Image::open(storage, options).await.map_err(to_js)?;
            Ok(WasmImage::new(image, runtime).into())
        })
    }

    /// Reports what a file is, even if it cannot be opened.
    #[cfg(feature = "edit")]
    pub fn inspect(&self, storage: HostStorage) -> Result<JsValue, JsValue> {
        let storage = JsStorage::new(storage, &self.0);
        self.0.start(async move {
            let inspection = inspect(&storage).await;
            Ok(inspection.map_err(|fault| to_js(Error::<Fault>::Storage(fault)))?.to_js())
        })
    }

    /// Receives the host's answer to a request.
    pub fn answer(&self, request: u32, value: JsValue) {
        self.0.answer(request, Ok(value));
    }

    /// Receives the exception of a request.
    pub fn refuse(&self, request: u32, exception: JsValue) {
        self.0.answer(request, Err(exception));
    }

    /// Drops a task and its requests. The host is not notified of it any more.
    pub fn cancel(&self, task: u32) {
        self.0.cancel(task);
    }
}
