//! Walks of the engine, passed to JavaScript in batches.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use js_sys::Float64Array;
use qcow2_web::Error;
use wasm_bindgen::JsValue;

use super::error::{Fault, other, to_js};
use super::object::number;
use super::runtime::Runtime;

/// The most steps of a batch; each takes bounded time.
const STEPS: usize = 4096;

/// A walk that works in steps.
pub(crate) trait Walk {
    /// Makes a step, and appends the numbers of the extent that it found, if any. An error does not advance the walk.
    async fn step(&mut self, numbers: &mut Vec<f64>) -> Result<Stepped, Error<Fault>>;
}

/// The result of a step. Positions are in bytes of the disk.
pub(crate) enum Stepped {
    /// An extent that ends at this position.
    Extent(u64),
    /// No extent yet; the walk has reached this position.
    Working(u64),
    /// There are no more extents.
    Done,
}

/// A walk from `start`, for JavaScript.
pub(crate) struct Batches<W> {
    /// `None` while a batch is running.
    walk: Rc<RefCell<Option<W>>>,
    start: u64,
    runtime: Rc<Runtime>,
}

impl<W: Walk + 'static> Batches<W> {
    pub(crate) fn new(walk: W, start: u64, runtime: Rc<Runtime>) -> Self {
        Self { walk: Rc::new(RefCell::new(Some(walk))), start, runtime }
    }

    /// Returns the next extents, at most `limit`, as numbers: how many bytes have been walked; 1 if that is all,
    /// otherwise 0; then those of the extents. There may be none before the end: a batch is bounded in time.
    pub(crate) fn next(&self, limit: usize) -> Result<JsValue, JsValue> {
        let (slot, start) = (self.walk.clone(), self.start);
        self.runtime.start(async move {
            let walk = slot.borrow_mut().take();
            let mut walk = walk.ok_or_else(|| other("INVALID_ARGUMENT", "the batch before is still under way"))?;
            let batch = batch(&mut walk, limit, start).await;
            *slot.borrow_mut() = Some(walk);
            batch.map_err(to_js)
        })
    }
}

async fn batch<W: Walk>(walk: &mut W, limit: usize, start: u64) -> Result<JsValue, Error<Fault>> {
    let mut numbers = Vec::from([0.0, 0.0]);
    let mut extents = 0;
    let mut position = start;
    for _ in 0..STEPS {
        if extents == limit {
            break;
        }
        match walk.step(&mut numbers).await {
            Ok(Stepped::Extent(end)) => {
                extents += 1;
                position = end;
            }
            Ok(Stepped::Working(walked)) => position = walked,
            Ok(Stepped::Done) => {
                numbers[1] = 1.0;
                break;
            }
            // The next batch reports the error again.
            Err(_) if extents > 0 => break,
            Err(error) => return Err(error),
        }
    }
    numbers[0] = number(position - start);
    Ok(Float64Array::from(numbers.as_slice()).into())
}
