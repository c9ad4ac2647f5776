//! The bridge to JavaScript for changes, without logic of its own: a module of its own, for few need it.

use std::rc::Rc;

use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;

use super::{Change, plan};
use crate::calls::{Object, answer, cache_of, integer, number};
use crate::error::Result;
use crate::fs::Path;
use crate::source::{Cache, Device, Slice};

/// A FAT volume that is changed.
#[wasm_bindgen]
pub struct WasmFat {
    cache: Rc<Cache>,
    /// The volume's offset on the disk.
    start: u64,
    volume: Rc<dyn Device>,
}

#[wasm_bindgen]
impl WasmFat {
    /// Creates a volume of `length` bytes at `start` of a disk of `size` bytes. `read_sync(offset, into)` fills an array, or
    /// returns false.
    #[wasm_bindgen(constructor)]
    pub fn new(size: f64, start: f64, length: f64, read_sync: Option<Function>) -> Self {
        let cache = Rc::new(cache_of(size, read_sync));
        let volume = Rc::new(Slice::new(cache.clone(), integer(start), integer(length)));
        Self { cache, start: integer(start), volume }
    }

    /// Receives bytes that a call needed.
    pub fn provide(&self, offset: f64, bytes: &[u8]) {
        self.cache.provide(integer(offset), bytes);
    }

    /// Drops the cached bytes of a range, because the disk has changed there.
    pub fn forget(&self, offset: f64, length: f64) {
        self.cache.forget(integer(offset), integer(length));
    }

    /// Plans a change: `write` of a file of `size` bytes, `createDirectory`, or `delete`. Returns `{ content, steps }`, in
    /// offsets of the disk: the ranges for the file's contents as `[offset, length]`, and what to write, as lists of
    /// `{ offset, bytes }`. All of a list must be durable before the next one is written. The contents belong to the first.
    pub fn plan(&self, change: &str, path: &[u8], size: f64, seconds: f64) -> std::result::Result<JsValue, JsValue> {
        answer(self.planned(change, path, size, seconds).map(Into::into))
    }
}

impl WasmFat {
    fn planned(&self, change: &str, path: &[u8], size: f64, seconds: f64) -> Result<Object> {
        let path: Path = Path::parse(path)?;
        let change = match change {
            "write" => Change::Write(path, integer(size)),
            "createDirectory" => Change::CreateDirectory(path),
            _ => Change::Delete(path),
        };
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
        let plan = self.cache.call(|| plan(&self.volume, &change, seconds as i64))?;
        let range = |(at, length): &(u64, u64)| vec![number(self.start + at), number(*length)];
        let write = |(at, bytes): &(u64, Vec<u8>)| {
            Object::new().with("offset", number(self.start + at)).with("bytes", Uint8Array::from(&bytes[..]))
        };
        let content: Vec<Vec<f64>> = plan.content.iter().map(range).collect();
        let steps: Vec<Vec<Object>> = plan.steps.iter().map(|step| step.iter().map(write).collect()).collect();
        Ok(Object::new().with("content", content).with("steps", steps))
    }
}
