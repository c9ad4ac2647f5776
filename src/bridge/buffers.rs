//! The buffers through which bytes are copied to or from the caller's array.

use alloc::vec::Vec;
use core::cell::RefCell;

use js_sys::Uint8Array;
use qcow2_web::Error;
use wasm_bindgen::prelude::*;

use super::error::{Fault, other, to_js};
use super::object::number;

/// The most bytes that are read or written at once, so that the WebAssembly memory, which never shrinks, stays small
/// for any request. A multiple of any cluster size.
const SEGMENT: usize = 4 << 20;
/// How many buffers are kept for reuse.
const MAX_BUFFERS: usize = 4;

#[wasm_bindgen]
extern "C" {
    /// The array of a caller, to read into or to write from. It may be larger than the WebAssembly memory.
    #[wasm_bindgen(js_name = Uint8Array)]
    pub type Bytes;
    #[wasm_bindgen(method, getter)]
    fn length(this: &Bytes) -> f64;
    #[wasm_bindgen(method, catch)]
    fn set(this: &Bytes, bytes: &[u8], at: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn subarray(this: &Bytes, start: f64, end: f64) -> Result<Uint8Array, JsValue>;
}

impl Bytes {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an array's length is an integer from 0"
    )]
    pub(crate) fn byte_count(&self) -> u64 {
        self.length() as u64
    }
}

/// A pool of buffers.
#[derive(Default)]
pub(crate) struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// Reads from `offset` into `target` with `read`.
    pub(crate) async fn fill(
        &self,
        target: &Bytes,
        offset: u64,
        read: impl AsyncFn(u64, &mut [u8]) -> Result<(), Error<Fault>>,
    ) -> Result<JsValue, JsValue> {
        let mut buffer = self.take();
        for (at, count) in segments(target) {
            let segment = room(&mut buffer, count);
            read(offset.saturating_add(at), segment).await.map_err(to_js)?;
            target.set(segment, number(at)).map_err(|_| detached())?;
        }
        self.give_back(buffer);
        Ok(JsValue::UNDEFINED)
    }

    /// Writes `source` at `offset` with `write`. Each segment is copied just before it is written, the first one before
    /// any wait.
    pub(crate) async fn drain(
        &self,
        source: &Bytes,
        offset: u64,
        write: impl AsyncFn(u64, &[u8]) -> Result<(), Error<Fault>>,
    ) -> Result<JsValue, JsValue> {
        let mut buffer = self.take();
        for (at, count) in segments(source) {
            let segment = room(&mut buffer, count);
            let part = source.subarray(number(at), number(at + count as u64)).map_err(|_| detached())?;
            // A transferred array is empty, possibly without an exception.
            if part.length() as usize != count {
                return Err(detached());
            }
            part.copy_to(segment);
            write(offset.saturating_add(at), segment).await.map_err(to_js)?;
        }
        self.give_back(buffer);
        Ok(JsValue::UNDEFINED)
    }

    fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < MAX_BUFFERS {
            kept.push(buffer);
        }
    }
}

/// Returns the offsets and lengths of the segments of an array.
fn segments(bytes: &Bytes) -> impl Iterator<Item = (u64, usize)> {
    let length = bytes.byte_count();
    (0..length)
        .step_by(SEGMENT)
        .map(move |at| (at, usize::try_from(length - at).map_or(SEGMENT, |left| left.min(SEGMENT))))
}

/// Returns the first `count` bytes of a buffer, growing it if needed.
fn room(buffer: &mut Vec<u8>, count: usize) -> &mut [u8] {
    if buffer.len() < count {
        buffer.resize(count, 0);
    }
    &mut buffer[..count]
}

fn detached() -> JsValue {
    other("INVALID_ARGUMENT", "the array was transferred elsewhere while it was in use")
}
