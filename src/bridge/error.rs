//! Converting errors for JavaScript.

use alloc::string::{String, ToString};
use core::fmt;

use qcow2_web::{Error, Missing};
use wasm_bindgen::JsValue;

use super::object::Object;

/// Why a JavaScript storage failed.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The storage threw this.
    Thrown(JsValue),
    /// The storage broke its contract.
    Contract(String),
}

impl From<JsValue> for Fault {
    fn from(thrown: JsValue) -> Self {
        Self::Thrown(thrown)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contract(reason) => f.write_str(reason),
            // JavaScript formats it, because it may be any value and may throw when it is accessed.
            Self::Thrown(_) => Ok(()),
        }
    }
}

impl core::error::Error for Fault {}

/// Converts `error` for JavaScript.
pub(crate) fn to_js(error: Error<Fault>) -> JsValue {
    let object = Object::new()
        .with("code", error.code())
        .with("message", error.to_string())
        .with("offset", error.offset())
        .with("depth", Some(error.depth()).filter(|depth| *depth > 0));
    match innermost(error) {
        Error::Storage(Fault::Thrown(cause)) => object.with("cause", cause),
        Error::Storage(Fault::Contract(reason)) => object.with("code", "STORAGE_CONTRACT").with("message", reason),
        Error::Missing(missing) => object.with("file", file(missing)),
        _ => object,
    }
    .into()
}

/// Creates an error of the bridge itself.
pub(crate) fn other(code: &str, message: &str) -> JsValue {
    Object::new().with("code", code).with("message", message).into()
}

fn innermost(error: Error<Fault>) -> Error<Fault> {
    match error {
        Error::InBacking { source, .. } => *source,
        error => error,
    }
}

fn file(missing: Missing) -> Option<Object> {
    let (name, format) = match missing {
        Missing::BackingFile { name, format } => (Some(name), format),
        Missing::DataFile { name } => (name, None),
        _ => return None,
    };
    Some(Object::new().with("name", name).with("format", format))
}
