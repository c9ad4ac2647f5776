//! Repairing and amending images, for JavaScript.

use qcow2_web::{AmendOptions, BackingFormat, Repair, RepairOptions, RepairReport, amend, repair};
use wasm_bindgen::prelude::*;

use super::check::check_options;
use super::engine::WasmEngine;
use super::error::to_js;
use super::host::{HostAmendOptions, HostProgress, HostStorage};
use super::object::{Object, Value};
use super::storage::JsStorage;
use super::write::done;

#[wasm_bindgen]
impl WasmEngine {
    /// Repairs an image, which need not be openable: all of it, or only its leaks.
    pub fn repair(
        &self,
        storage: HostStorage,
        all: bool,
        accept_loss: bool,
        max_findings: usize,
        progress: Option<HostProgress>,
    ) -> Result<JsValue, JsValue> {
        let storage = JsStorage::new(storage, &self.0);
        let options = RepairOptions::new(if all { Repair::All } else { Repair::Leaks })
            .accept_loss(accept_loss)
            .check(check_options(max_findings, progress));
        self.0.start(async move { Ok(repair(&storage, options).await.map_err(to_js)?.to_js()) })
    }

    /// Changes the options of an image.
    pub fn amend(&self, storage: HostStorage, options: &HostAmendOptions) -> Result<JsValue, JsValue> {
        let storage = JsStorage::new(storage, &self.0);
        let options = amend_options(options);
        self.0.start(async move { done(amend(&storage, &options).await) })
    }
}

fn amend_options(host: &HostAmendOptions) -> AmendOptions {
    let mut options = AmendOptions::new();
    if let Some(version) = host.version() {
        options = options.version(version);
    }
    if let Some(lazy) = host.lazy_refcounts() {
        options = options.lazy_refcounts(lazy);
    }
    if let Some(bits) = host.refcount_bits() {
        options = options.refcount_bits(bits);
    }
    if let Some(name) = host.backing_name() {
        let format = if host.backing_is_raw() { BackingFormat::Raw } else { BackingFormat::Qcow2 };
        options = options.backing_file(name, format);
    }
    if host.without_backing() {
        options = options.without_backing_file();
    }
    if let Some(name) = host.data_file_name() {
        options = options.data_file_name(name);
    }
    if let Some(raw) = host.data_file_raw() {
        options = options.data_file_raw(raw);
    }
    options
}

impl Value for RepairReport {
    fn to_js(self) -> JsValue {
        Object::new().with("before", self.before).with("after", self.after).into()
    }
}
