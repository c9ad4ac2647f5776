//! The function that supplies backing files.

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::error::Fault;
use super::storage::{JsStorage, Storages};
use crate::image::backing::{BackingFile, BackingFormat, BackingRequest, BackingResolver, Supply};

#[wasm_bindgen]
extern "C" {
    /// What the function's promise is fulfilled with, unless with `null` or `undefined`.
    type Supplied;
    #[wasm_bindgen(method, structural, getter)]
    fn storage(this: &Supplied) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    fn format(this: &Supplied) -> Option<alloc::string::String>;
    #[wasm_bindgen(method, structural, getter, js_name = dataFile)]
    fn data_file(this: &Supplied) -> JsValue;
}

/// Asks a JavaScript function of name, format and depth. `null` is an answer: to open without the file.
pub(crate) struct Resolver {
    pub(crate) function: js_sys::Function,
    pub(crate) storages: Storages,
}

impl BackingResolver<JsStorage> for Resolver {
    async fn resolve(&mut self, request: BackingRequest<'_>) -> Result<Supply<JsStorage>, Fault> {
        let format = request.format.map_or(JsValue::UNDEFINED, JsValue::from);
        let answer = self.function.call3(&JsValue::UNDEFINED, &request.name.into(), &format, &request.depth.into())?;
        let answer = JsFuture::from(Promise::resolve(&answer)).await?;
        if answer.is_undefined() {
            return Ok(Supply::Nothing);
        }
        if answer.is_null() {
            return Ok(Supply::Absent);
        }
        let supplied: Supplied = answer.unchecked_into();
        let data_file = supplied.data_file();
        Ok(Supply::File(BackingFile {
            storage: self.storages.storage(supplied.storage()),
            format: supplied.format().as_deref().and_then(BackingFormat::from_name),
            data_file: (!data_file.is_undefined()).then(|| self.storages.storage(data_file)),
        }))
    }
}
