//! What the tasks of one image share, and JavaScript's way to it.

use alloc::rc::Rc;
use core::cell::Cell;

use wasm_bindgen::prelude::*;

use super::buffers::Buffers;
use super::error::{Fault, to_js};
use super::host::{Host, HostOpenOptions, HostStorage};
use super::image::WasmImage;
use super::object::Value;
use super::requests::Requests;
use super::resolver::Resolver;
use super::storage::JsStorage;
use super::tasks::{Outcome, Tasks};
use qcow2_web::{Error, Image, OpenOptions, inspect};

/// Runs an image, its snapshots and their requests.
#[wasm_bindgen]
pub struct WasmEngine(pub(super) Rc<Engine>);

/// See [`WasmEngine`].
pub(crate) struct Engine {
    pub(crate) host: Host,
    pub(crate) requests: Requests,
    pub(crate) buffers: Buffers,
    tasks: Tasks,
    all_sync: Cell<bool>,
}

#[wasm_bindgen]
impl WasmEngine {
    /// An engine whose other side is `host`.
    #[wasm_bindgen(constructor)]
    pub fn new(host: Host) -> Self {
        Self(Rc::new(Engine {
            host,
            requests: Requests::default(),
            buffers: Buffers::default(),
            tasks: Tasks::default(),
            all_sync: Cell::new(true),
        }))
    }

    /// Opens an image, for writing where its storage is writable: the value is a [`WasmImage`]. Backing files are asked of
    /// the host, and passphrases.
    pub fn open(&self, storage: HostStorage, how: &HostOpenOptions) -> Result<JsValue, JsValue> {
        let engine = self.0.clone();
        let storage = engine.storage(storage);
        let data_file = how.data_file().map(|file| engine.storage(file));
        let options = engine.options(data_file, how);
        self.0.start(async move {
            #[cfg(feature = "edit")]
            if storage.is_writable() {
                let image = Image::open_writable(storage, options).await.map_err(to_js)?;
                return Ok(WasmImage::new(image, engine).into());
            }
            let image = Image::open(storage, options).await.map_err(to_js)?;
            Ok(WasmImage::new(image, engine).into())
        })
    }

    /// Says what can be said of a file.
    pub fn inspect(&self, storage: HostStorage) -> Result<JsValue, JsValue> {
        let storage = self.0.storage(storage);
        self.0.start(async move {
            let inspection = inspect(&storage).await;
            Ok(inspection.map_err(|fault| to_js(Error::<Fault>::Storage(fault)))?.to_js())
        })
    }

    /// Takes the host's answer to a request.
    pub fn answer(&self, request: u32, value: JsValue) {
        self.0.requests.answer(request, Ok(value));
        self.0.run();
    }

    /// Takes the exception that a request led to.
    pub fn refuse(&self, request: u32, exception: JsValue) {
        self.0.requests.answer(request, Err(exception));
        self.0.run();
    }

    /// Drops a task, and what it has asked for. The host hears no more of it.
    pub fn cancel(&self, task: u32) {
        self.0.tasks.cancel(task);
        // Others may have waited for what it was about to bring.
        self.0.run();
    }
}

impl Engine {
    /// Starts a task: returns its value or error if it needs not wait, else its number.
    pub(crate) fn start(&self, task: impl Future<Output = Outcome> + 'static) -> Outcome {
        let started = self.tasks.start(task);
        self.run();
        started.unwrap_or_else(|number| Ok(number.into()))
    }

    /// True if all storages that were met so far are synchronous.
    pub(crate) fn all_sync(&self) -> bool {
        self.all_sync.get()
    }

    /// A storage of the image.
    pub(crate) fn storage(self: &Rc<Self>, host: HostStorage) -> JsStorage {
        let storage = JsStorage::new(host, self.clone());
        if !storage.is_sync() {
            self.all_sync.set(false);
        }
        storage
    }

    pub(super) fn options(
        self: &Rc<Self>,
        data_file: Option<JsStorage>,
        how: &HostOpenOptions,
    ) -> OpenOptions<JsStorage, Resolver> {
        let mut options = OpenOptions::new().backing(Resolver(self.clone())).write_through(how.write_through());
        if let Some(file) = data_file {
            options = options.data_file(file);
        }
        if let Some(bytes) = how.table_cache() {
            options = options.table_cache(bytes);
        }
        if let Some(bytes) = how.cluster_cache() {
            options = options.cluster_cache(bytes);
        }
        #[cfg(feature = "luks")]
        let options = self.unlocking(options, how);
        options
    }

    fn run(&self) {
        self.tasks.run(|task, outcome| match outcome {
            Ok(value) => self.host.done(task, value),
            Err(error) => self.host.failed(task, error),
        });
    }
}
