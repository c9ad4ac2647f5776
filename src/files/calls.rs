//! What both modules for JavaScript share.
//!
//! Each call returns `{ value }`, or `{ need: [offset, length] }` if bytes of the disk are missing: the caller provides
//! them and calls again. Errors are thrown as `{ code, message }`.

#[path = "../bridge/object.rs"]
mod object;

use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::error::{Error, Result};
use crate::source::{Cache, ReadSync};
pub(crate) use object::{Object, integer, number};

/// The cache of a disk of `size` bytes. `read_sync(offset, into)` fills an array, or returns false.
pub(crate) fn cache_of(size: f64, read_sync: Option<Function>) -> Cache {
    let read_sync = read_sync.map(|read| -> ReadSync {
        Box::new(move |offset, into| {
            let Ok(length) = u32::try_from(into.len()) else { return false };
            let array = Uint8Array::new_with_length(length);
            let done = read.call2(&JsValue::NULL, &number(offset).into(), &array);
            let filled = done.is_ok_and(|done| done.is_truthy()) && array.length() == length;
            if filled {
                array.copy_to(into);
            }
            filled
        })
    });
    Cache::new(integer(size), read_sync)
}

/// The answer to a call.
pub(crate) fn answer(result: Result<JsValue>) -> std::result::Result<JsValue, JsValue> {
    match result {
        Ok(value) => Ok(Object::new().with("value", value).into()),
        Err(Error::Need(range)) => {
            let need = vec![number(range.start), number(range.end - range.start)];
            Ok(Object::new().with("need", need).into())
        }
        Err(Error::Failed(code, message)) => {
            Err(Object::new().with("code", code.name()).with("message", message).into())
        }
    }
}
