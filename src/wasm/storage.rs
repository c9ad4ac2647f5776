//! A JavaScript object as the engine's storage.

use alloc::format;
use alloc::rc::Rc;
use core::cell::Cell;

use js_sys::{Number, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::error::Fault;
use super::object::{Object, number};
use crate::storage::Storage;

#[wasm_bindgen]
extern "C" {
    #[derive(Clone)]
    pub(crate) type SyncStorage;
    #[wasm_bindgen(method, structural, catch)]
    fn size(this: &SyncStorage) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = readSync)]
    fn read_sync(this: &SyncStorage, offset: f64, into: &mut [u8]) -> Result<(), JsValue>;

    #[derive(Clone)]
    pub(crate) type AsyncStorage;
    #[wasm_bindgen(method, structural, catch)]
    fn size(this: &AsyncStorage) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    fn read(this: &AsyncStorage, offset: f64, length: f64, options: &JsValue) -> Result<JsValue, JsValue>;

    type AbortController;
    #[wasm_bindgen(constructor)]
    fn new() -> AbortController;
    #[wasm_bindgen(method, getter)]
    fn signal(this: &AbortController) -> JsValue;
    #[wasm_bindgen(method)]
    fn abort(this: &AbortController);
}

/// A storage that is a JavaScript object; synchronous if it has a `readSync`.
#[derive(Clone)]
pub(crate) enum JsStorage {
    Sync(SyncStorage),
    Async(AsyncStorage),
}

/// The storages of one image: remembers whether each of them is synchronous. A clone is the same.
#[derive(Clone)]
pub(crate) struct Storages(Rc<Cell<bool>>);

impl Storages {
    pub(crate) fn new() -> Self {
        Self(Rc::new(Cell::new(true)))
    }

    pub(crate) fn all_sync(&self) -> bool {
        self.0.get()
    }

    pub(crate) fn storage(&self, object: JsValue) -> JsStorage {
        if Reflect::has(&object, &"readSync".into()).unwrap_or(false) {
            JsStorage::Sync(object.unchecked_into())
        } else {
            self.0.set(false);
            JsStorage::Async(object.unchecked_into())
        }
    }
}

impl Storage for JsStorage {
    type Error = Fault;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Fault> {
        match self {
            Self::Sync(storage) => Ok(storage.read_sync(number(offset), buf)?),
            Self::Async(storage) => {
                let request = Request::new();
                let answer = storage.read(number(offset), number(buf.len() as u64), &request.options())?;
                let answer = JsFuture::from(Promise::resolve(&answer)).await;
                request.complete();
                take(&answer?, offset, buf)
            }
        }
    }

    async fn size(&self) -> Result<u64, Fault> {
        match self {
            Self::Sync(storage) => checked_size(&storage.size()?),
            Self::Async(storage) => {
                let size = storage.size()?;
                // What is at hand needs no promise.
                if size.as_f64().is_some() {
                    return checked_size(&size);
                }
                checked_size(&JsFuture::from(Promise::resolve(&size)).await?)
            }
        }
    }
}

/// A request under way. Dropped before it is complete, it tells the storage that nobody waits for it any more.
struct Request {
    controller: AbortController,
    complete: bool,
}

impl Request {
    fn new() -> Self {
        Self { controller: AbortController::new(), complete: false }
    }

    fn options(&self) -> JsValue {
        Object::new().with("signal", self.controller.signal()).into()
    }

    fn complete(mut self) {
        self.complete = true;
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.complete {
            self.controller.abort();
        }
    }
}

/// Copies what a storage answered to a request for `buf.len()` bytes at `offset`.
fn take(answer: &JsValue, offset: u64, buf: &mut [u8]) -> Result<(), Fault> {
    let asked = buf.len();
    let Some(bytes) = answer.dyn_ref::<Uint8Array>() else {
        return Err(Fault::Contract(format!(
            "the storage answered something other than a Uint8Array where {asked} bytes at offset {offset} were asked for"
        )));
    };
    let length = bytes.length() as usize;
    if length != asked {
        return Err(Fault::Contract(format!(
            "the storage answered {length} bytes where {asked} bytes at offset {offset} were asked for"
        )));
    }
    bytes.copy_to(buf);
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be an integer from 0")]
fn checked_size(size: &JsValue) -> Result<u64, Fault> {
    match size.as_f64() {
        Some(number) if number >= 0.0 && Number::is_safe_integer(size) => Ok(number as u64),
        _ => Err(Fault::Contract("the storage's size is not an integer from 0".into())),
    }
}
