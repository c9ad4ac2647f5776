//! Images that are created and written through the bridge.

use js_sys::{Array, Uint8Array};
use qcow2_web_bridge::{HostCreateOptions, HostOpenOptions, HostStorage, WasmEngine, WasmImage};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

use super::host::{Defaults, TestHost, engine, get, image, number, open, read, target};

#[wasm_bindgen(inline_js = "
export class NewImage {
  size = 1n << 20n
  version = 3
  clusterSize = 512n
  refcountBits = 16
  lazyRefcounts = false
  extendedL2 = false
  compression = 'zlib'
  backingIsRaw = false
  dataFileName = ''
  dataFileRaw = false
  preallocation = 'off'
}
class Bytes {
  writable = true
  takesTurns = false
  size = 0
  bytes = new Uint8Array()
  resize(size) {
    const bytes = new Uint8Array(size)
    bytes.set(this.bytes.subarray(0, size))
    this.bytes = bytes
  }
  put(offset, bytes) {
    if (this.bytes.length < offset + bytes.length) this.resize(offset + bytes.length)
    this.bytes.set(bytes, offset)
  }
}
export class SyncBytes extends Bytes {
  sync = true
  barriers = 0
  readSync(offset, into) { into.set(this.bytes.subarray(offset, offset + into.length)) }
  sizeSync() { return this.bytes.length }
  writeSync(offset, bytes) {
    if (this.thrown) throw this.thrown
    this.put(offset, bytes)
  }
  truncateSync(size) { this.resize(size) }
  flushSync() { this.barriers += 1 }
}
export class WaitingBytes extends Bytes {
  sync = false
  asked = []
  aborted = []
  read(request, offset, length) { this.asked.push([request, 'read', () => this.bytes.slice(offset, offset + length)]) }
  measure(request) { this.asked.push([request, 'measure', () => this.bytes.length]) }
  write(request, offset, bytes) { this.asked.push([request, 'write', () => this.put(offset, bytes)]) }
  truncate(request, size) { this.asked.push([request, 'truncate', () => this.resize(size)]) }
  flush(request) { this.asked.push([request, 'flush', () => undefined]) }
  abort(request) { this.aborted.push(request) }
  next() {
    const [request, what, work] = this.asked.shift()
    return [request, what, work()]
  }
}
")]
extern "C" {
    type NewImage;
    #[wasm_bindgen(constructor)]
    fn new() -> NewImage;

    #[derive(Clone)]
    type SyncBytes;
    #[wasm_bindgen(constructor)]
    fn new() -> SyncBytes;
    #[wasm_bindgen(method, getter)]
    fn barriers(this: &SyncBytes) -> u32;
    #[wasm_bindgen(method, setter)]
    fn set_thrown(this: &SyncBytes, thrown: &JsValue);

    #[derive(Clone)]
    type WaitingBytes;
    #[wasm_bindgen(constructor)]
    fn new() -> WaitingBytes;
    #[wasm_bindgen(method, getter)]
    fn asked(this: &WaitingBytes) -> Array;
    #[wasm_bindgen(method, getter)]
    fn aborted(this: &WaitingBytes) -> Array;
    /// Carries out the first request. Returns its number, its kind and the answer.
    #[wasm_bindgen(method)]
    fn next(this: &WaitingBytes) -> Array;
}

fn create(engine: &WasmEngine, storage: impl Into<JsValue>) -> JsValue {
    let (what, how) = (NewImage::new(), Defaults::new());
    let (what, how) = (what.unchecked_into::<HostCreateOptions>(), how.unchecked_into::<HostOpenOptions>());
    engine.create(storage.into().unchecked_into::<HostStorage>(), &what, &how, None).unwrap()
}

fn bytes(bytes: &[u8]) -> Uint8Array {
    Uint8Array::from(bytes)
}

fn write(image: &WasmImage, offset: u64, what: &[u8]) -> Result<JsValue, JsValue> {
    image.write(offset, bytes(what).unchecked_into())
}

/// Answers requests, one after the other, until a task ends. Returns its value and the requests.
fn run(engine: &WasmEngine, host: &TestHost, storage: &WaitingBytes) -> (JsValue, Vec<String>) {
    let mut requests = Vec::new();
    while host.done().length() == 0 {
        let answered = storage.next();
        requests.push(answered.get(1).as_string().unwrap());
        engine.answer(number(&answered.get(0)), answered.get(2));
    }
    (host.done().pop().unchecked_into::<Array>().get(1), requests)
}

/// An image over an asynchronous storage, with one written cluster.
fn written() -> (WasmEngine, TestHost, WaitingBytes, WasmImage) {
    let (engine, host) = engine();
    let storage = WaitingBytes::new();
    create(&engine, storage.clone());
    let image = image(run(&engine, &host, &storage).0);
    write(&image, 0, &[1; 512]).unwrap();
    run(&engine, &host, &storage);
    image.flush().unwrap();
    run(&engine, &host, &storage);
    (engine, host, storage, image)
}

#[wasm_bindgen_test]
fn a_write_to_a_synchronous_storage_does_not_wait() {
    let (engine, host) = engine();
    let storage = SyncBytes::new();
    let created = image(create(&engine, storage.clone()));
    created.write_sync(510, bytes(&[7; 4]).unchecked_ref()).unwrap();
    assert!(write(&created, 2048, &[8; 3]).unwrap().is_undefined());
    let before = storage.barriers();
    created.flush_sync().unwrap();
    assert!(storage.barriers() > before);
    assert_eq!(host.done().length(), 0);
    let again = image(open(&engine, storage).unwrap());
    let into = target(1541);
    again.read_sync(510, into.unchecked_ref()).unwrap();
    let found = into.to_vec();
    assert_eq!((&found[..5], &found[1537..]), (&[7, 7, 7, 7, 0][..], &[0, 8, 8, 8][..]));
}

#[wasm_bindgen_test]
fn a_write_in_place_is_one_request_and_a_flush_one_barrier() {
    let (engine, host, storage, image) = written();
    write(&image, 100, &[2; 50]).unwrap();
    assert_eq!(run(&engine, &host, &storage).1, ["write"]);
    image.flush().unwrap();
    assert_eq!(run(&engine, &host, &storage).1, ["flush"]);
    let into = target(2);
    read(&image, 149, &into);
    run(&engine, &host, &storage);
    assert_eq!(into.to_vec(), [2, 1]);
}

#[wasm_bindgen_test]
fn a_full_disk_has_a_code_and_fails_only_that_write() {
    let (engine, _) = engine();
    let storage = SyncBytes::new();
    let image = image(create(&engine, storage.clone()));
    image.write_sync(0, bytes(&[1; 512]).unchecked_ref()).unwrap();
    let full = dom_exception("QuotaExceededError");
    storage.set_thrown(&full);
    let error = image.write_sync(0, bytes(&[2; 512]).unchecked_ref()).unwrap_err();
    assert_eq!((get(&error, "code"), get(&error, "cause")), ("STORAGE".into(), full));
    storage.set_thrown(&JsValue::UNDEFINED);
    let into = target(1);
    image.read_sync(0, into.unchecked_ref()).unwrap();
    assert_eq!(into.to_vec(), [1]);
    // There is room again.
    image.write_sync(0, bytes(&[2; 512]).unchecked_ref()).unwrap();
    image.read_sync(0, into.unchecked_ref()).unwrap();
    assert_eq!(into.to_vec(), [2]);
}

#[wasm_bindgen_test]
fn a_cancelled_write_aborts_its_request_and_others_continue() {
    let (engine, host, storage, image) = written();
    let task = write(&image, 0, &[3; 512]).unwrap();
    let request = storage.asked().get(0).unchecked_into::<Array>().get(0);
    engine.cancel(number(&task));
    assert_eq!(storage.aborted().get(0), request);
    storage.next();
    write(&image, 512, &[4; 512]).unwrap();
    run(&engine, &host, &storage);
    image.close().unwrap();
    run(&engine, &host, &storage);
    let into = target(1024);
    read(&image, 0, &into);
    run(&engine, &host, &storage);
    let found = into.to_vec();
    assert!(found[..512] == [1; 512] || found[..512] == [3; 512]);
    assert_eq!(found[512..], [4; 512]);
    image.check(10, None).unwrap();
    let report = run(&engine, &host, &storage).0;
    assert_eq!((get(&report, "leaks"), get(&report, "corruptions")), (0.into(), 0.into()));
}

/// As a browser throws it.
fn dom_exception(name: &str) -> JsValue {
    js_sys::Function::new_with_args("name", "return new DOMException('no room', name)")
        .call1(&JsValue::NULL, &name.into())
        .unwrap()
}
