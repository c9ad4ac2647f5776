//! Plain JavaScript objects, built member by member.

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

/// An object. Members that are `None` are left out.
pub(super) struct Object(Members);

impl Object {
    pub(super) fn new() -> Self {
        Self(Members::new())
    }

    /// Sets a member.
    pub(super) fn with(self, name: &str, value: impl Value) -> Self {
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

/// Converts a size or an offset to a number. Disks end before 2^53.
#[expect(clippy::cast_precision_loss, reason = "a damaged file system may claim more; it is only shown then")]
pub(super) fn number(value: u64) -> f64 {
    value as f64
}

/// Converts a size or an offset from JavaScript.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the package passes integers from 0")]
pub(super) fn integer(number: f64) -> u64 {
    number as u64
}

/// A value that a member can have.
pub(super) trait Value {
    fn to_js(self) -> JsValue;
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

values!(JsValue, bool, f64, &str, String, Uint8Array);
