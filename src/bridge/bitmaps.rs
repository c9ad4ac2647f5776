//! The bitmaps of an open image, for JavaScript.

use alloc::string::String;
use alloc::vec::Vec;

use js_sys::Float64Array;
use wasm_bindgen::prelude::*;

use super::error::to_js;
use super::image::WasmImage;
use super::object::number;
use super::write::done;

#[wasm_bindgen]
impl WasmImage {
    /// Creates a bitmap; a granularity of 0 selects the default.
    pub fn create_bitmap(&self, name: String, granularity: u64, enabled: bool) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        let granularity = (granularity != 0).then_some(granularity);
        self.runtime.start(async move { done(image.create_bitmap(&name, granularity, enabled).await) })
    }

    /// Deletes a bitmap.
    pub fn delete_bitmap(&self, name: String) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.delete_bitmap(&name).await) })
    }

    /// Clears all bits of a bitmap.
    pub fn clear_bitmap(&self, name: String) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.clear_bitmap(&name).await) })
    }

    /// Sets whether a bitmap records the changes of the disk.
    pub fn enable_bitmap(&self, name: String, enabled: bool) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.enable_bitmap(&name, enabled).await) })
    }

    /// Sets the bits of ranges: the start and the end of each, in bytes of the disk.
    pub fn mark_bitmap(&self, name: String, ranges: &[u64]) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        let (pairs, _) = ranges.as_chunks::<2>();
        let ranges: Vec<_> = pairs.iter().map(|[start, end]| *start..*end).collect();
        self.runtime.start(async move { done(image.mark_bitmap(&name, &ranges).await) })
    }

    /// Returns where to continue, and then the start and the length of each range after `offset` whose bits are set.
    pub fn bitmap_extents(&self, name: String, offset: u64) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move {
            let (ranges, next) = image.bitmap_extents(&name, offset).await.map_err(to_js)?;
            let extents = ranges.iter().flat_map(|range| [number(range.start), number(range.end - range.start)]);
            let numbers: Vec<f64> = core::iter::once(number(next)).chain(extents).collect();
            Ok(Float64Array::from(&numbers[..]).into())
        })
    }
}
