//! Snapshots, VM states and sizes of an open image, for JavaScript.

use alloc::string::String;

use qcow2_web::{ResizeOptions, SnapshotOptions};
use wasm_bindgen::prelude::*;

use super::buffers::Bytes;
use super::create::preallocation;
use super::error::to_js;
use super::host::{HostProgress, HostSnapshotOptions};
use super::image::WasmImage;
use super::object::Value;
use super::progress::report_to;
use super::write::done;

#[wasm_bindgen]
impl WasmImage {
    /// Creates a snapshot. The value is its entry in the list.
    pub fn create_snapshot(
        &self,
        options: &HostSnapshotOptions,
        progress: Option<HostProgress>,
    ) -> Result<JsValue, JsValue> {
        let options = SnapshotOptions::new(options.name())
            .date(options.seconds(), options.nanoseconds())
            .vm_clock_nsec(options.vm_clock_nsec())
            .icount(options.icount())
            .vm_state_size(options.vm_state_size());
        let image = self.image.clone();
        self.runtime.start(async move {
            let snapshot = image.create_snapshot(&options, report_to(progress)).await;
            Ok(snapshot.map_err(to_js)?.to_js())
        })
    }

    /// Applies a snapshot.
    pub fn apply_snapshot(&self, id_or_name: String, progress: Option<HostProgress>) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.apply_snapshot(&id_or_name, report_to(progress)).await) })
    }

    /// Deletes a snapshot.
    pub fn delete_snapshot(&self, id_or_name: String, progress: Option<HostProgress>) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.delete_snapshot(&id_or_name, report_to(progress)).await) })
    }

    /// Renames a snapshot.
    pub fn rename_snapshot(&self, id_or_name: String, name: String) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.rename_snapshot(&id_or_name, &name).await) })
    }

    /// Writes an array at `offset` of the VM state for the next snapshot.
    pub fn write_vm_state(&self, offset: u64, from: Bytes) -> Result<JsValue, JsValue> {
        let (image, runtime) = (self.image.clone(), self.runtime.clone());
        self.runtime.start(async move {
            runtime.buffers.drain(&from, offset, async |at, buf| image.write_vm_state(at, buf).await).await
        })
    }

    /// Discards the VM state of the active disk.
    pub fn discard_vm_state(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.discard_vm_state().await) })
    }

    /// Resizes the disk.
    pub fn resize(&self, size: u64, shrink: bool, allocate: &str) -> Result<JsValue, JsValue> {
        let options = ResizeOptions::new().shrink(shrink).preallocation(preallocation(allocate));
        let image = self.image.clone();
        self.runtime.start(async move { done(image.resize(size, &options).await) })
    }
}
