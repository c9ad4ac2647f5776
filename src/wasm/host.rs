//! What JavaScript provides: `src/js/engine.ts` is the other side.

use alloc::string::String;

use js_sys::Uint8Array;
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
    /// True if it has the methods that end in `Sync`, else those that take the number of a request.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn sync(this: &HostStorage) -> bool;
    /// True if it may be written.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn writable(this: &HostStorage) -> bool;
    /// The length that it had when it was opened, in bytes: an integer from 0.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn size(this: &HostStorage) -> f64;
    #[wasm_bindgen(method, structural, catch, js_name = readSync)]
    pub(crate) fn read_sync(this: &HostStorage, offset: f64, into: &mut [u8]) -> Result<(), JsValue>;
    /// Its length now.
    #[wasm_bindgen(method, structural, catch, js_name = sizeSync)]
    pub(crate) fn size_sync(this: &HostStorage) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = writeSync)]
    pub(crate) fn write_sync(this: &HostStorage, offset: f64, bytes: &[u8]) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = truncateSync)]
    pub(crate) fn truncate_sync(this: &HostStorage, size: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = flushSync)]
    pub(crate) fn flush_sync(this: &HostStorage) -> Result<(), JsValue>;
    /// Asks for bytes. The answer is an array of them.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn read(this: &HostStorage, request: u32, offset: f64, length: f64);
    /// Asks for the length now. The answer is a number.
    #[wasm_bindgen(method, structural, js_name = measure)]
    pub(crate) fn measure(this: &HostStorage, request: u32);
    /// Asks for bytes to be written. The array is the host's own.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn write(this: &HostStorage, request: u32, offset: f64, bytes: Uint8Array);
    /// Asks for another length.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn truncate(this: &HostStorage, request: u32, size: f64);
    /// Asks for a barrier.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn flush(this: &HostStorage, request: u32);
    /// Nobody waits for the answer to a request any more. What later requests may not overtake of a write that this ends
    /// early, they wait for.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn abort(this: &HostStorage, request: u32);

    /// Who is told how far something long has come.
    pub type HostProgress;
    /// So much of so much is done. False ends it.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn tell(this: &HostProgress, done: f64, total: f64) -> bool;

    /// What a snapshot that is to be taken records: `src/js/snapshots.ts` says what its members mean.
    pub type HostSnapshotOptions;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn name(this: &HostSnapshotOptions) -> String;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn seconds(this: &HostSnapshotOptions) -> u32;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn nanoseconds(this: &HostSnapshotOptions) -> u32;
    #[wasm_bindgen(method, structural, getter, js_name = vmClockNsec)]
    pub(crate) fn vm_clock_nsec(this: &HostSnapshotOptions) -> u64;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn icount(this: &HostSnapshotOptions) -> Option<u64>;
    #[wasm_bindgen(method, structural, getter, js_name = vmStateSize)]
    pub(crate) fn vm_state_size(this: &HostSnapshotOptions) -> u64;

    /// What is to be changed of an image: `src/js/amend.ts` says what its members mean.
    pub type HostAmendOptions;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn version(this: &HostAmendOptions) -> Option<u32>;
    #[wasm_bindgen(method, structural, getter, js_name = lazyRefcounts)]
    pub(crate) fn lazy_refcounts(this: &HostAmendOptions) -> Option<bool>;
    #[wasm_bindgen(method, structural, getter, js_name = refcountBits)]
    pub(crate) fn refcount_bits(this: &HostAmendOptions) -> Option<u32>;
    #[wasm_bindgen(method, structural, getter, js_name = backingName)]
    pub(crate) fn backing_name(this: &HostAmendOptions) -> Option<String>;
    #[wasm_bindgen(method, structural, getter, js_name = backingIsRaw)]
    pub(crate) fn backing_is_raw(this: &HostAmendOptions) -> bool;
    #[wasm_bindgen(method, structural, getter, js_name = withoutBacking)]
    pub(crate) fn without_backing(this: &HostAmendOptions) -> bool;
    #[wasm_bindgen(method, structural, getter, js_name = dataFileName)]
    pub(crate) fn data_file_name(this: &HostAmendOptions) -> Option<String>;

    /// A backing file.
    pub(crate) type Supplied;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn storage(this: &Supplied) -> HostStorage;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn format(this: &Supplied) -> Option<String>;
    #[wasm_bindgen(method, structural, getter, js_name = dataFile)]
    pub(crate) fn data_file(this: &Supplied) -> Option<HostStorage>;

    /// What an image to be created is like; all of it is there.
    pub type HostCreateOptions;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn size(this: &HostCreateOptions) -> u64;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn version(this: &HostCreateOptions) -> u32;
    #[wasm_bindgen(method, structural, getter, js_name = clusterSize)]
    pub(crate) fn cluster_size(this: &HostCreateOptions) -> u64;
    #[wasm_bindgen(method, structural, getter, js_name = refcountBits)]
    pub(crate) fn refcount_bits(this: &HostCreateOptions) -> u32;
    #[wasm_bindgen(method, structural, getter, js_name = lazyRefcounts)]
    pub(crate) fn lazy_refcounts(this: &HostCreateOptions) -> bool;
    #[wasm_bindgen(method, structural, getter, js_name = extendedL2)]
    pub(crate) fn extended_l2(this: &HostCreateOptions) -> bool;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn zstd(this: &HostCreateOptions) -> bool;
    #[wasm_bindgen(method, structural, getter, js_name = backingName)]
    pub(crate) fn backing_name(this: &HostCreateOptions) -> Option<String>;
    #[wasm_bindgen(method, structural, getter, js_name = backingIsRaw)]
    pub(crate) fn backing_is_raw(this: &HostCreateOptions) -> bool;
    /// The name of the data file, empty where none is to be recorded.
    #[wasm_bindgen(method, structural, getter, js_name = dataFileName)]
    pub(crate) fn data_file_name(this: &HostCreateOptions) -> String;
    #[wasm_bindgen(method, structural, getter, js_name = dataFileRaw)]
    pub(crate) fn data_file_raw(this: &HostCreateOptions) -> bool;
    /// `off`, `metadata` or `full`.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn preallocation(this: &HostCreateOptions) -> String;
}
