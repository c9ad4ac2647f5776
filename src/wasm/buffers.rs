//! Memory that reads pass through on their way to the caller's array.

use alloc::vec::Vec;
use core::cell::RefCell;

use wasm_bindgen::prelude::*;

use super::error::{Fault, other, to_js};
use super::object::number;
use crate::error::Error;

/// A read is done in pieces of at most this many bytes, so that the memory of WebAssembly, which never shrinks, stays
/// small whatever is asked for.
const PIECE: usize = 4 << 20;
/// How many buffers are kept.
const KEPT: usize = 4;

#[wasm_bindgen]
extern "C" {
    /// The array that a caller wants filled.
    #[wasm_bindgen(js_name = Uint8Array)]
    pub type Target;
    #[wasm_bindgen(method, getter)]
    fn length(this: &Target) -> f64;
    #[wasm_bindgen(method, catch)]
    fn set(this: &Target, bytes: &[u8], at: f64) -> Result<(), JsValue>;
}

/// Buffers to be used again.
#[derive(Default)]
pub(crate) struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// Fills `target`, which may be longer than all memory of WebAssembly, with what `read` reads from `offset` on.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an array's length is an integer from 0"
    )]
    pub(crate) async fn fill(
        &self,
        target: &Target,
        offset: u64,
        read: impl AsyncFn(u64, &mut [u8]) -> Result<(), Error<Fault>>,
    ) -> Result<JsValue, JsValue> {
        let length = target.length() as u64;
        let mut buffer = self.take();
        let mut done = 0;
        while done < length {
            let count = usize::try_from(length - done).map_or(PIECE, |left| left.min(PIECE));
            if buffer.len() < count {
                buffer.resize(count, 0);
            }
            let piece = &mut buffer[..count];
            read(offset.saturating_add(done), piece).await.map_err(to_js)?;
            target.set(piece, number(done)).map_err(|_| detached())?;
            done += count as u64;
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

fn detached() -> JsValue {
    other("INVALID_ARGUMENT", "the array was transferred elsewhere while it was being filled")
}
