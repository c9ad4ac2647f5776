//! Walking what differs between two states of a disk, in batches.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use js_sys::Float64Array;
use wasm_bindgen::prelude::*;

use super::engine::Engine;
use super::error::{Fault, other, to_js};
use super::image::WasmImage;
use super::object::number;
use super::storage::JsStorage;
use crate::error::Error;
use crate::image::diff::{Diff, DiffStep};

/// How much work a batch is at most: a step takes bounded time.
const STEPS: usize = 4096;

/// What differs between two states of a disk.
#[wasm_bindgen]
pub struct WasmDiff {
    /// Taken while a batch is under way.
    diff: Rc<RefCell<Option<Diff<JsStorage>>>>,
    engine: Rc<Engine>,
}

#[wasm_bindgen]
impl WasmImage {
    /// What differs between two states: snapshots by id or name, or this state of the disk where there is none.
    pub fn diff(&self, from: Option<String>, to: Option<String>) -> Result<WasmDiff, JsValue> {
        let state = |selector: Option<String>| match selector {
            Some(selector) => self.image.open_snapshot(&selector).map_err(to_js),
            None => Ok(self.image.clone()),
        };
        let (from, to) = (state(from)?, state(to)?);
        let diff = from.diff(&to).ok_or_else(|| other("INVALID_ARGUMENT", "they are states of different images"))?;
        Ok(WasmDiff { diff: Rc::new(RefCell::new(Some(diff))), engine: self.engine.clone() })
    }
}

#[wasm_bindgen]
impl WasmDiff {
    /// The next extents, at most `limit`, as numbers: up to where all is known; 1 if that is all, else 0; then for each
    /// extent its start and its length. There may be none before the end: a batch is bounded in time.
    pub fn next(&self, limit: usize) -> Result<JsValue, JsValue> {
        let slot = self.diff.clone();
        self.engine.start(async move {
            let taken = slot.borrow_mut().take();
            let mut diff = taken.ok_or_else(|| other("INVALID_ARGUMENT", "the batch before is still under way"))?;
            let batch = next_batch(&mut diff, limit).await;
            *slot.borrow_mut() = Some(diff);
            batch.map_err(to_js)
        })
    }
}

async fn next_batch(diff: &mut Diff<JsStorage>, limit: usize) -> Result<JsValue, Error<Fault>> {
    let mut numbers = Vec::from([0.0, 0.0]);
    let mut extents = 0;
    for _ in 0..STEPS {
        if extents == limit {
            break;
        }
        match diff.step().await {
            Ok(DiffStep::Extent(extent)) => {
                extents += 1;
                numbers[0] = number(extent.start + extent.length);
                numbers.extend([number(extent.start), number(extent.length)]);
            }
            Ok(DiffStep::Working { position }) => numbers[0] = number(position),
            Ok(DiffStep::Done) => {
                numbers[1] = 1.0;
                break;
            }
            // It has not moved: the next batch meets the error again.
            Err(_) if extents > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Float64Array::from(numbers.as_slice()).into())
}
