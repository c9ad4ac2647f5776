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
use super::progress::tell;
use super::write::done;

#[wasm_bindgen]
impl WasmImage {
    /// Takes a snapshot: the value is what is listed of it.
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
            let snapshot = image.create_snapshot(&options, tell(progress)).await;
            Ok(snapshot.map_err(to_js)?.to_js())
        })
    }

    /// Goes back to a snapshot.
    pub fn apply_snapshot(&self, id_or_name: String, progress: Option<HostProgress>) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.apply_snapshot(&id_or_name, tell(progress)).await) })
    }

    /// Deletes a snapshot.
    pub fn delete_snapshot(&self, id_or_name: String, progress: Option<HostProgress>) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.delete_snapshot(&id_or_name, tell(progress)).await) })
    }

    /// Renames a snapshot.
    pub fn rename_snapshot(&self, id_or_name: String, name: String) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.rename_snapshot(&id_or_name, &name).await) })
    }

    /// Writes the bytes of an array at `offset` of the VM state of the snapshot that is taken next.
    pub fn write_vm_state(&self, offset: u64, from: Bytes) -> Result<JsValue, JsValue> {
        let (image, runtime) = (self.image.clone(), self.runtime.clone());
        self.runtime.start(async move {
            runtime.buffers.drain(&from, offset, async |at, buf| image.write_vm_state(at, buf).await).await
        })
    }

    /// Gives the disk another size.
    pub fn resize(&self, size: u64, shrink: bool, allocate: &str) -> Result<JsValue, JsValue> {
        let options = ResizeOptions::new().shrink(shrink).preallocation(preallocation(allocate));
        let image = self.image.clone();
        self.runtime.start(async move { done(image.resize(size, &options).await) })
    }
}
