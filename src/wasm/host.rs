//! What JavaScript provides: `src/js/engine.ts` is the other side.

use alloc::string::String;

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The side of an engine that is in JavaScript.
    pub type Host;
    /// Takes the value of a task that had to wait.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn done(this: &Host, task: u32, value: JsValue);
    /// Takes the error of a task that had to wait.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn failed(this: &Host, task: u32, error: JsValue);
    /// Asks for a backing file. The answer is a [`Supplied`], or `null` to open without it, or `undefined`.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn resolve(this: &Host, request: u32, name: &str, format: Option<&str>, depth: u32);

    /// A storage that has been opened.
    #[derive(Clone)]
    pub type HostStorage;
    /// True if it has `readSync`, else it has `read` and `abort`.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn sync(this: &HostStorage) -> bool;
    /// Its length in bytes: an integer from 0.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn size(this: &HostStorage) -> f64;
    #[wasm_bindgen(method, structural, catch, js_name = readSync)]
    pub(crate) fn read_sync(this: &HostStorage, offset: f64, into: &mut [u8]) -> Result<(), JsValue>;
    /// Asks for bytes. The answer is an array of them.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn read(this: &HostStorage, request: u32, offset: f64, length: f64);
    /// Nobody waits for the answer to a request any more.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn abort(this: &HostStorage, request: u32);

    /// A backing file.
    pub(crate) type Supplied;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn storage(this: &Supplied) -> HostStorage;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn format(this: &Supplied) -> Option<String>;
    #[wasm_bindgen(method, structural, getter, js_name = dataFile)]
    pub(crate) fn data_file(this: &Supplied) -> Option<HostStorage>;
}
