//! Plain JavaScript objects, built member by member. Both WebAssembly modules include this file: each implements
//! [`Value`] for its own types.

use alloc::string::String;
use alloc::vec::Vec;

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = Object)]
    type Members;
    #[wasm_bindgen(constructor, js_class = "Object")]
    fn new() -> Members;
    #[wasm_bindgen(method, structural, indexing_setter)]
    fn set(this: &Members, name: &str, value: JsValue);
}

/// An object; members that are `None` are left out.
pub(crate) struct Object(Members);

impl Object {
    pub(crate) fn new() -> Self {
        Self(Members::new())
    }

    /// Sets a member.
    pub(crate) fn with(self, name: &str, value: impl Value) -> Self {
        let value = value.to_js();
        if !value.is_undefined() {
            self.0.set(name, value);
        }
        self
    }
}

impl From<Object> for JsValue {
    fn from(object: Object) -> Self {
        object.0.into()
    }
}

/// A value that a member can have.
pub(crate) trait Value {
    fn to_js(self) -> JsValue;
}

/// Converts a size or an offset to a number.
#[expect(clippy::cast_precision_loss, reason = "multiples of 512, or below 2^53; only a corrupt image claims more")]
pub(crate) fn number(value: u64) -> f64 {
    value as f64
}

/// Converts a size or an offset from JavaScript.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the caller passes integers from 0")]
pub(crate) fn integer(number: f64) -> u64 {
    number as u64
}

impl Value for u64 {
    fn to_js(self) -> JsValue {
        number(self).into()
    }
}

impl Value for Object {
    fn to_js(self) -> JsValue {
        self.into()
    }
}

impl<T: Value> Value for Option<T> {
    fn to_js(self) -> JsValue {
        self.map_or(JsValue::UNDEFINED, Value::to_js)
    }
}

impl<T: Value> Value for Vec<T> {
    fn to_js(self) -> JsValue {
        self.into_iter().map(Value::to_js).collect::<Array>().into()
    }
}

macro_rules! values {
    ($($kind:ty),*) => {$(
        impl Value for $kind {
            fn to_js(self) -> JsValue {
                self.into()
            }
        }
    )*};
}

values!(JsValue, bool, u8, u32, f64, &str, String, Uint8Array);
