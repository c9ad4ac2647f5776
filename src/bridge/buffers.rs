//! Memory that bytes pass through on their way to the caller's array, or from it.

use alloc::vec::Vec;
use core::cell::RefCell;

use js_sys::Uint8Array;
use qcow2_web::Error;
use wasm_bindgen::prelude::*;

use super::error::{Fault, other, to_js};
use super::object::number;

/// Reads and writes are done in pieces of at most this many bytes, so that the memory of WebAssembly, which never shrinks,
/// stays small whatever is asked for. Whole clusters of any size.
const PIECE: usize = 4 << 20;
/// How many buffers are kept.
const KEPT: usize = 4;

#[wasm_bindgen]
extern "C" {
    /// The array of a caller, to be filled or written. It may be longer than all memory of WebAssembly.
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

/// Buffers to be used again.
#[derive(Default)]
pub(crate) struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// Fills `target` with what `read` reads from `offset` on.
    pub(crate) async fn fill(
        &self,
        target: &Bytes,
        offset: u64,
        read: impl AsyncFn(u64, &mut [u8]) -> Result<(), Error<Fault>>,
    ) -> Result<JsValue, JsValue> {
        let mut buffer = self.take();
        for (at, count) in pieces(target) {
            let piece = room(&mut buffer, count);
            read(offset.saturating_add(at), piece).await.map_err(to_js)?;
            target.set(piece, number(at)).map_err(|_| detached())?;
        }
        self.give_back(buffer);
        Ok(JsValue::UNDEFINED)
    }

    /// Writes what `source` holds with `write` from `offset` on. A piece is copied when its turn comes, the first one before
    /// anything waits.
    pub(crate) async fn drain(
        &self,
        source: &Bytes,
        offset: u64,
        write: impl AsyncFn(u64, &[u8]) -> Result<(), Error<Fault>>,
    ) -> Result<JsValue, JsValue> {
        let mut buffer = self.take();
        for (at, count) in pieces(source) {
            let piece = room(&mut buffer, count);
            let part = source.subarray(number(at), number(at + count as u64)).map_err(|_| detached())?;
            // One that was transferred is empty, and may be so without an exception.
            if part.length() as usize != count {
                return Err(detached());
            }
            part.copy_to(piece);
            write(offset.saturating_add(at), piece).await.map_err(to_js)?;
        }
        self.give_back(buffer);
        Ok(JsValue::UNDEFINED)
    }

    fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

/// Where the pieces of an array begin, and how long they are.
fn pieces(bytes: &Bytes) -> impl Iterator<Item = (u64, usize)> {
    let length = bytes.byte_count();
    (0..length).step_by(PIECE).map(move |at| (at, usize::try_from(length - at).map_or(PIECE, |left| left.min(PIECE))))
}

/// The first `count` bytes of a buffer, which is made larger if need be.
fn room(buffer: &mut Vec<u8>, count: usize) -> &mut [u8] {
    if buffer.len() < count {
        buffer.resize(count, 0);
    }
    &mut buffer[..count]
}

fn detached() -> JsValue {
    other("INVALID_ARGUMENT", "the array was transferred elsewhere while it was in use")
}
