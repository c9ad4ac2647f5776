//! The host of these tests: its storages, and an image in them.

use js_sys::{Array, Reflect, Uint8Array};
use qcow2_web_bridge::{HostOpenOptions, HostStorage, WasmEngine, WasmImage};
use wasm_bindgen::convert::TryFromJsValue;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(inline_js = "
export class TestHost {
  done_ = []
  failed_ = []
  resolve_ = []
  passphrase_ = []
  done(task, value) { this.done_.push([task, value]) }
  failed(task, error) { this.failed_.push([task, error]) }
  // No time passes: no turn is ever over.
  now() { return 0 }
  resolve(request, name, format, depth) { this.resolve_.push([request, name, format, depth]) }
  passphrase(request, depth, format) { this.passphrase_.push([request, depth, format]) }
}
export class Defaults {
  writeThrough = false
  locked = false
}
export class TestStorage {
  sync = false
  writable = false
  requests = []
  aborted = []
  constructor(size) { this.size = size }
  read(request, offset, length) {
    this.requests.push([request, offset, length])
    this.onRead?.(request, offset, length)
  }
  abort(request) { this.aborted.push(request) }
}
export class SyncStorage {
  sync = true
  takesTurns = false
  writable = false
  constructor(bytes) { this.bytes = bytes.slice(); this.size = bytes.length }
  readSync(offset, into) {
    if (this.thrown) throw this.thrown
    into.set(this.bytes.subarray(offset, offset + into.length))
  }
}
")]
extern "C" {
    #[derive(Clone)]
    pub(crate) type TestHost;
    #[wasm_bindgen(constructor)]
    pub(crate) fn new() -> TestHost;
    #[wasm_bindgen(method, getter, js_name = "done_")]
    pub(crate) fn done(this: &TestHost) -> Array;
    #[wasm_bindgen(method, getter, js_name = "failed_")]
    pub(crate) fn failed(this: &TestHost) -> Array;
    #[wasm_bindgen(method, getter, js_name = "resolve_")]
    pub(crate) fn resolve(this: &TestHost) -> Array;
    #[wasm_bindgen(method, getter, js_name = "passphrase_")]
    pub(crate) fn passphrase(this: &TestHost) -> Array;

    pub(crate) type Defaults;
    #[wasm_bindgen(constructor)]
    pub(crate) fn new() -> Defaults;

    #[derive(Clone)]
    pub(crate) type TestStorage;
    #[wasm_bindgen(constructor)]
    pub(crate) fn new(size: usize) -> TestStorage;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn requests(this: &TestStorage) -> Array;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn aborted(this: &TestStorage) -> Array;
    #[wasm_bindgen(method, setter, js_name = onRead)]
    pub(crate) fn set_on_read(this: &TestStorage, call: &JsValue);

    #[derive(Clone)]
    pub(crate) type SyncStorage;
    #[wasm_bindgen(constructor)]
    pub(crate) fn new(bytes: &[u8]) -> SyncStorage;
    #[wasm_bindgen(method, setter)]
    pub(crate) fn set_thrown(this: &SyncStorage, thrown: &JsValue);
}

pub(crate) const CLUSTER: usize = 512;
pub(crate) const DATA: usize = 4 * CLUSTER;

/// A disk of 32 KiB in clusters of 512 bytes; the first two contain 1 and 2.
pub(crate) fn qcow2(backing: Option<&str>) -> Vec<u8> {
    let mut file = vec![0; DATA + 2 * CLUSTER];
    let mut put = |offset: usize, bytes: &[u8]| file[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &2_u32.to_be_bytes());
    put(20, &9_u32.to_be_bytes());
    put(24, &(64 * CLUSTER as u64).to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &(2 * CLUSTER as u64).to_be_bytes());
    put(48, &(CLUSTER as u64).to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(2 * CLUSTER, &((3 * CLUSTER as u64) | (1 << 63)).to_be_bytes());
    for cluster in 0..2 {
        let offset = DATA + cluster * CLUSTER;
        put(3 * CLUSTER + cluster * 8, &((offset as u64) | (1 << 63)).to_be_bytes());
        put(offset, &[u8::try_from(cluster).unwrap() + 1; CLUSTER]);
    }
    if let Some(name) = backing {
        put(8, &200_u64.to_be_bytes());
        put(16, &u32::try_from(name.len()).unwrap().to_be_bytes());
        put(200, name.as_bytes());
    }
    file
}

pub(crate) fn engine() -> (WasmEngine, TestHost) {
    let host = TestHost::new();
    (WasmEngine::new(host.clone().unchecked_into()), host)
}

pub(crate) fn open(engine: &WasmEngine, storage: impl Into<JsValue>) -> Result<JsValue, JsValue> {
    let how = Defaults::new().unchecked_into::<HostOpenOptions>();
    engine.open(storage.into().unchecked_into::<HostStorage>(), &how)
}

pub(crate) fn image(value: JsValue) -> WasmImage {
    WasmImage::try_from_js_value(value).unwrap()
}

pub(crate) fn target(length: u32) -> Uint8Array {
    Uint8Array::new_with_length(length)
}

pub(crate) fn read(image: &WasmImage, offset: u64, into: &Uint8Array) -> JsValue {
    image.read(offset, into.clone().unchecked_into()).unwrap()
}

pub(crate) fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap()
}

pub(crate) fn number(value: &JsValue) -> u32 {
    u32::try_from_js_value(value.clone()).unwrap()
}

/// The number, offset and length of the last request of a storage.
pub(crate) fn last_request(storage: &TestStorage) -> (u32, usize, usize) {
    let requests = storage.requests();
    let request: Array = requests.get(requests.length() - 1).unchecked_into();
    (number(&request.get(0)), number(&request.get(1)) as usize, number(&request.get(2)) as usize)
}

/// Answers the last request of `storage`, whose contents are `file`.
pub(crate) fn answer(engine: &WasmEngine, storage: &TestStorage, file: &[u8]) {
    let (request, offset, length) = last_request(storage);
    engine.answer(request, Uint8Array::from(&file[offset..offset + length]).into());
}

/// An open image over a storage that waits for answers, with its tables loaded.
pub(crate) fn opened() -> (WasmEngine, TestHost, TestStorage, WasmImage) {
    let file = qcow2(None);
    let (engine, host) = engine();
    let storage = TestStorage::new(file.len());
    let task = open(&engine, storage.clone()).unwrap();
    answer(&engine, &storage, &file);
    let done: Array = host.done().pop().unchecked_into();
    assert_eq!(done.get(0), task);
    let image = image(done.get(1));
    let into = target(1);
    read(&image, 0, &into);
    while host.done().length() == 0 {
        answer(&engine, &storage, &file);
    }
    host.done().pop();
    (engine, host, storage, image)
}
