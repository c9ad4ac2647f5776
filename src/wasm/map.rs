//! Walking the map of a disk in batches.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use js_sys::Float64Array;
use wasm_bindgen::prelude::*;

use super::engine::Engine;
use super::error::{Fault, other, to_js};
use super::object::number;
use super::storage::JsStorage;
use crate::error::Error;
use crate::image::map::{Extent, Map, Step};

/// How much work a batch is at most: the map makes a step in bounded time.
const STEPS: usize = 4096;

/// The map of a part of a disk.
#[wasm_bindgen]
pub struct WasmMap {
    /// Taken while a batch is under way.
    map: Rc<RefCell<Option<Map<JsStorage>>>>,
    start: u64,
    engine: Rc<Engine>,
}

impl WasmMap {
    pub(crate) fn new(map: Map<JsStorage>, start: u64, engine: Rc<Engine>) -> Self {
        Self { map: Rc::new(RefCell::new(Some(map))), start, engine }
    }
}

#[wasm_bindgen]
impl WasmMap {
    /// The next extents, at most `limit`, as numbers: how many bytes have been walked; 1 if that is all, else 0; then for
    /// each extent its start, length, depth, flags (1 present, 2 zero, 4 data, 8 compressed) and offset, or −1. There may
    /// be none before the end: a batch is bounded in time.
    pub fn next(&self, limit: usize) -> Result<JsValue, JsValue> {
        let (slot, start) = (self.map.clone(), self.start);
        self.engine.start(async move {
            let taken = slot.borrow_mut().take();
            let mut map = taken.ok_or_else(|| other("INVALID_ARGUMENT", "the batch before is still under way"))?;
            let batch = next_batch(&mut map, limit, start).await;
            *slot.borrow_mut() = Some(map);
            batch.map_err(to_js)
        })
    }
}

async fn next_batch(map: &mut Map<JsStorage>, limit: usize, start: u64) -> Result<JsValue, Error<Fault>> {
    let mut numbers = Vec::from([0.0, 0.0]);
    let mut extents = 0;
    let mut position = start;
    for _ in 0..STEPS {
        if extents == limit {
            break;
        }
        match map.step().await {
            Ok(Step::Extent(extent)) => {
                extents += 1;
                position = extent.start + extent.length;
                numbers.extend(extent_numbers(&extent));
            }
            Ok(Step::Working { position: walked }) => position = walked,
            Ok(Step::Done) => {
                numbers[1] = 1.0;
                break;
            }
            // The map has not moved: the next batch meets the error again.
            Err(_) if extents > 0 => break,
            Err(error) => return Err(error),
        }
    }
    numbers[0] = number(position - start);
    Ok(Float64Array::from(numbers.as_slice()).into())
}

fn extent_numbers(extent: &Extent) -> [f64; 5] {
    let flags = [extent.present, extent.zero, extent.data, extent.compressed];
    let flags = flags.iter().enumerate().map(|(bit, set)| u32::from(*set) << bit).sum::<u32>();
    let offset = extent.offset.map_or(-1.0, number);
    [number(extent.start), number(extent.length), extent.depth.into(), flags.into(), offset]
}
