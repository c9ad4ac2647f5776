//! Walking over the differences between two states of a disk.

use alloc::string::String;
use alloc::vec::Vec;

use qcow2_web::{Diff, DiffStep, Error};
use wasm_bindgen::prelude::*;

use super::error::{Fault, other, to_js};
use super::image::WasmImage;
use super::object::number;
use super::storage::JsStorage;
use super::walk::{Batches, Stepped, Walk};

/// The differences between two states of a disk.
#[wasm_bindgen]
pub struct WasmDiff(Batches<Diff<JsStorage>>);

#[wasm_bindgen]
impl WasmImage {
    /// Compares two states: snapshots by id or name, or this state of the disk if none is given.
    pub fn diff(&self, from: Option<String>, to: Option<String>) -> Result<WasmDiff, JsValue> {
        let state = |selector: Option<String>| match selector {
            Some(selector) => self.image.open_snapshot(&selector).map_err(to_js),
            None => Ok(self.image.clone()),
        };
        let (from, to) = (state(from)?, state(to)?);
        let diff = from.diff(&to).ok_or_else(|| other("INVALID_ARGUMENT", "they are states of different images"))?;
        Ok(WasmDiff(Batches::new(diff, 0, self.runtime.clone())))
    }
}

#[wasm_bindgen]
impl WasmDiff {
    /// Returns the next batch, see `Batches::next`. An extent is its start and its length.
    pub fn next(&self, limit: usize) -> Result<JsValue, JsValue> {
        self.0.next(limit)
    }
}

impl Walk for Diff<JsStorage> {
    async fn step(&mut self, numbers: &mut Vec<f64>) -> Result<Stepped, Error<Fault>> {
        Ok(match Diff::step(self).await? {
            DiffStep::Extent(extent) => {
                numbers.extend([number(extent.start), number(extent.length)]);
                Stepped::Extent(extent.start + extent.length)
            }
            DiffStep::Working { position } => Stepped::Working(position),
            DiffStep::Done => Stepped::Done,
        })
    }
}
