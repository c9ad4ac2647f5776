//! Compacting an open image, for JavaScript.

use js_sys::Float64Array;
use qcow2_web::CompactOptions;
use wasm_bindgen::prelude::*;

use super::error::to_js;
use super::host::HostProgress;
use super::image::WasmImage;
use super::object::number;
use super::progress::report_to;
use super::write::done;

#[wasm_bindgen]
impl WasmImage {
    /// Moves clusters down into free ones, and truncates the file.
    pub fn compact(&self, detect_zeroes: bool, progress: Option<HostProgress>) -> Result<JsValue, JsValue> {
        let options = CompactOptions::new().detect_zeroes(detect_zeroes);
        let image = self.image.clone();
        self.runtime.start(async move { done(image.compact(options, report_to(progress)).await) })
    }

    /// Returns by how many bytes compacting makes the file smaller, at most, as the only number of an array: a plain number
    /// is the id of a task.
    pub fn reclaimable(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move {
            let bytes = image.reclaimable().await.map_err(to_js)?;
            Ok(Float64Array::from([number(bytes)].as_slice()).into())
        })
    }
}
