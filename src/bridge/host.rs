//! The interface that JavaScript implements, in `src/js/engine/engine.ts`.

use alloc::string::String;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use super::buffers::Bytes;

#[wasm_bindgen]
extern "C" {
    /// The JavaScript side of an engine.
    pub type Host;
    /// Receives the value of a task that had to wait.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn done(this: &Host, task: u32, value: JsValue);
    /// Receives the error of a task that had to wait.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn failed(this: &Host, task: u32, error: JsValue);
    /// Requests a backing file. The answer is a [`Supplied`], or `null` to open without it, or `undefined`.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn resolve(this: &Host, request: u32, name: &str, format: Option<&str>, depth: u32);

    /// An open storage.
    #[derive(Clone)]
    pub type HostStorage;
    /// Whether it has the methods that end in `Sync`; otherwise it has those with a request number.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn sync(this: &HostStorage) -> bool;
    /// Whether it is writable.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn writable(this: &HostStorage) -> bool;
    /// Its length in bytes when it was opened: an integer from 0.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn size(this: &HostStorage) -> f64;
    /// Whether the host wants `isTurnOver` to be called before each request, if `sync`.
    #[wasm_bindgen(method, structural, getter, js_name = takesTurns)]
    pub(crate) fn takes_turns(this: &HostStorage) -> bool;
    /// Whether the engine has to wait for the host's next turn.
    #[wasm_bindgen(method, structural, js_name = isTurnOver)]
    pub(crate) fn is_turn_over(this: &HostStorage) -> bool;
    /// Requests the host's next turn. The answer has no meaning.
    #[wasm_bindgen(method, structural, js_name = nextTurn)]
    pub(crate) fn next_turn(this: &HostStorage, request: u32);
    #[wasm_bindgen(method, structural, catch, js_name = readSync)]
    pub(crate) fn read_sync(this: &HostStorage, offset: f64, into: &mut [u8]) -> Result<(), JsValue>;
    /// Returns its current length.
    #[wasm_bindgen(method, structural, catch, js_name = sizeSync)]
    pub(crate) fn size_sync(this: &HostStorage) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = writeSync)]
    pub(crate) fn write_sync(this: &HostStorage, offset: f64, bytes: &[u8]) -> Result<(), JsValue>;
    /// As `write_sync`, from a JavaScript array.
    #[wasm_bindgen(method, structural, catch, js_name = writeSync)]
    pub(crate) fn write_from(this: &HostStorage, offset: f64, bytes: &Bytes) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = truncateSync)]
    pub(crate) fn truncate_sync(this: &HostStorage, size: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = flushSync)]
    pub(crate) fn flush_sync(this: &HostStorage) -> Result<(), JsValue>;
    /// Requests bytes. The answer is an array of them.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn read(this: &HostStorage, request: u32, offset: f64, length: f64);
    /// Requests the current length. The answer is a number.
    #[wasm_bindgen(method, structural, js_name = measure)]
    pub(crate) fn measure(this: &HostStorage, request: u32);
    /// Requests a write. The host owns the array.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn write(this: &HostStorage, request: u32, offset: f64, bytes: Uint8Array);
    /// Requests another length.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn truncate(this: &HostStorage, request: u32, size: f64);
    /// Requests a barrier.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn flush(this: &HostStorage, request: u32);
    /// Reports that no task waits for the answer to a request any more. The host must still order later requests after
    /// an aborted write, as far as they may not overtake it.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn abort(this: &HostStorage, request: u32);

    /// The callback for the progress of a long operation.
    pub type HostProgress;
    /// Reports progress. Returns false to end the operation.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn report(this: &HostProgress, done: f64, total: f64) -> bool;

    /// The options for creating a snapshot: see `src/js/image/snapshots.ts`.
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

    /// The options to change of an image: see `src/js/file/amend.ts`.
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
    #[wasm_bindgen(method, structural, getter, js_name = dataFileRaw)]
    pub(crate) fn data_file_raw(this: &HostAmendOptions) -> Option<bool>;

    /// The options for opening an image: see `src/js/engine/options/open.ts`.
    pub type HostOpenOptions;
    #[wasm_bindgen(method, structural, getter, js_name = dataFile)]
    pub(crate) fn data_file(this: &HostOpenOptions) -> Option<HostStorage>;
    /// In bytes.
    #[wasm_bindgen(method, structural, getter, js_name = tableCache)]
    pub(crate) fn table_cache(this: &HostOpenOptions) -> Option<usize>;
    /// In bytes.
    #[wasm_bindgen(method, structural, getter, js_name = clusterCache)]
    pub(crate) fn cluster_cache(this: &HostOpenOptions) -> Option<usize>;
    #[wasm_bindgen(method, structural, getter, js_name = writeThrough)]
    pub(crate) fn write_through(this: &HostOpenOptions) -> bool;

    /// A backing file.
    pub(crate) type Supplied;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn storage(this: &Supplied) -> HostStorage;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn format(this: &Supplied) -> Option<String>;
    #[wasm_bindgen(method, structural, getter, js_name = dataFile)]
    pub(crate) fn data_file(this: &Supplied) -> Option<HostStorage>;

    /// The options for creating an image, with all members.
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
    pub(crate) fn compression(this: &HostCreateOptions) -> String;
    #[wasm_bindgen(method, structural, getter, js_name = backingName)]
    pub(crate) fn backing_name(this: &HostCreateOptions) -> Option<String>;
    #[wasm_bindgen(method, structural, getter, js_name = backingIsRaw)]
    pub(crate) fn backing_is_raw(this: &HostCreateOptions) -> bool;
    /// The name of the data file; empty if none is recorded.
    #[wasm_bindgen(method, structural, getter, js_name = dataFileName)]
    pub(crate) fn data_file_name(this: &HostCreateOptions) -> String;
    #[wasm_bindgen(method, structural, getter, js_name = dataFileRaw)]
    pub(crate) fn data_file_raw(this: &HostCreateOptions) -> bool;
    /// `off`, `metadata` or `full`.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn preallocation(this: &HostCreateOptions) -> String;
}

#[cfg(feature = "luks")]
#[wasm_bindgen]
extern "C" {
    /// Requests the passphrase of a file of the chain, by the name of its encryption. The answer is an array, which is
    /// wiped, or something else if there is no passphrase.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn passphrase(this: &Host, request: u32, depth: u32, encryption: &str);
    /// Requests a key derived with PBKDF2. The host owns the arrays, and wipes that of the password. The answer is an
    /// array, which is wiped, or something else if the host cannot derive it.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn derive(
        this: &Host,
        request: u32,
        hash: &str,
        password: Uint8Array,
        salt: Uint8Array,
        iterations: u32,
        length: u32,
    );
    /// Requests an answer after other tasks have run.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn pause(this: &Host, request: u32);
    /// Fills an array with unpredictable random bytes.
    #[wasm_bindgen(method, structural, catch)]
    pub(crate) fn random(this: &Host, into: &mut [u8]) -> Result<(), JsValue>;
    /// Returns milliseconds since an arbitrary moment.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn now(this: &Host) -> f64;

    /// Whether files are opened without their passphrases.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn locked(this: &HostOpenOptions) -> bool;
    #[wasm_bindgen(method, structural, getter, js_name = maxIterations)]
    pub(crate) fn max_iterations(this: &HostOpenOptions) -> Option<u32>;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn encryption(this: &HostCreateOptions) -> Option<HostEncryptOptions>;

    /// The encryption of an image: see `src/js/engine/options/encryption.ts`.
    pub type HostEncryptOptions;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn legacy(this: &HostEncryptOptions) -> bool;
    /// An array, which is wiped.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn passphrase(this: &HostEncryptOptions) -> Uint8Array;
    /// `aes`, `serpent` or `twofish`.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn cipher(this: &HostEncryptOptions) -> String;
    #[wasm_bindgen(method, structural, getter, js_name = keyBits)]
    pub(crate) fn key_bits(this: &HostEncryptOptions) -> u32;
    /// Such as `xts-plain64`.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn mode(this: &HostEncryptOptions) -> String;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn hash(this: &HostEncryptOptions) -> String;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn keys(this: &HostEncryptOptions) -> HostKeyOptions;

    /// The options for a new key: see `src/js/engine/options/encryption.ts`.
    pub type HostKeyOptions;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn iterations(this: &HostKeyOptions) -> Option<u32>;
    #[wasm_bindgen(method, structural, getter, js_name = iterationTime)]
    pub(crate) fn iteration_time(this: &HostKeyOptions) -> Option<f64>;
}
