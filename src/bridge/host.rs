//! What JavaScript provides: `src/js/engine/engine.ts` is the other side.

use alloc::string::String;

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use super::buffers::Bytes;

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
    /// True if the host wants to be asked `isTurnOver` before each request, where `sync`.
    #[wasm_bindgen(method, structural, getter, js_name = takesTurns)]
    pub(crate) fn takes_turns(this: &HostStorage) -> bool;
    /// True if the engine has to wait for the host's next turn.
    #[wasm_bindgen(method, structural, js_name = isTurnOver)]
    pub(crate) fn is_turn_over(this: &HostStorage) -> bool;
    /// Asks for the host's next turn. The answer says nothing.
    #[wasm_bindgen(method, structural, js_name = nextTurn)]
    pub(crate) fn next_turn(this: &HostStorage, request: u32);
    #[wasm_bindgen(method, structural, catch, js_name = readSync)]
    pub(crate) fn read_sync(this: &HostStorage, offset: f64, into: &mut [u8]) -> Result<(), JsValue>;
    /// Its length now.
    #[wasm_bindgen(method, structural, catch, js_name = sizeSync)]
    pub(crate) fn size_sync(this: &HostStorage) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = writeSync)]
    pub(crate) fn write_sync(this: &HostStorage, offset: f64, bytes: &[u8]) -> Result<(), JsValue>;
    /// The same, from an array of JavaScript.
    #[wasm_bindgen(method, structural, catch, js_name = writeSync)]
    pub(crate) fn write_from(this: &HostStorage, offset: f64, bytes: &Bytes) -> Result<(), JsValue>;
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

    /// What a snapshot that is to be taken records: `src/js/image/snapshots.ts` says what its members mean.
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

    /// What is to be changed of an image: `src/js/file/amend.ts` says what its members mean.
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

    /// How an image is opened: `src/js/engine/options/open.ts` says what its members mean.
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
    pub(crate) fn compression(this: &HostCreateOptions) -> String;
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

#[cfg(feature = "luks")]
#[wasm_bindgen]
extern "C" {
    /// Asks for the passphrase of a file of the chain, by the name of its encryption. The answer is an array of it that is
    /// wiped, or something else where there is none.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn passphrase(this: &Host, request: u32, depth: u32, encryption: &str);
    /// Asks for a key by PBKDF2. The arrays are the host's own; that of the password it wipes. The answer is an array that is
    /// wiped, or something else where the host can't derive it.
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
    /// Asks for an answer when others had their turn.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn pause(this: &Host, request: u32);
    /// Fills an array with random bytes that nobody can guess.
    #[wasm_bindgen(method, structural, catch)]
    pub(crate) fn random(this: &Host, into: &mut [u8]) -> Result<(), JsValue>;
    /// Milliseconds since any moment.
    #[wasm_bindgen(method, structural)]
    pub(crate) fn now(this: &Host) -> f64;

    /// Files are opened without their passphrases.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn locked(this: &HostOpenOptions) -> bool;
    #[wasm_bindgen(method, structural, getter, js_name = maxIterations)]
    pub(crate) fn max_iterations(this: &HostOpenOptions) -> Option<u32>;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn encryption(this: &HostCreateOptions) -> Option<HostEncryptOptions>;

    /// How an image is to be encrypted: `src/js/engine/options/encryption.ts` says what its members mean.
    pub type HostEncryptOptions;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn legacy(this: &HostEncryptOptions) -> bool;
    /// An array that is wiped.
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

    /// How a key is made: `src/js/engine/options/encryption.ts` says what its members mean.
    pub type HostKeyOptions;
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn iterations(this: &HostKeyOptions) -> Option<u32>;
    #[wasm_bindgen(method, structural, getter, js_name = iterationTime)]
    pub(crate) fn iteration_time(this: &HostKeyOptions) -> Option<f64>;
}
