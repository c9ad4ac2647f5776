//! Walks of the engine, which cross in batches.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use js_sys::Float64Array;
use qcow2_web::Error;
use wasm_bindgen::JsValue;

use super::error::{Fault, other, to_js};
use super::object::number;
use super::runtime::Runtime;

/// How much work a batch is at most: a step takes bounded time.
const STEPS: usize = 4096;

/// What is walked step by step.
pub(crate) trait Walk {
    /// Makes a step, and appends the numbers of the extent that it brings, if any. An error doesn't move the walk.
    async fn step(&mut self, numbers: &mut Vec<f64>) -> Result<Stepped, Error<Fault>>;
}

/// What a step came to. Positions are in bytes of the disk.
pub(crate) enum Stepped {
    /// An extent that ends there.
    Extent(u64),
    /// No extent yet; all is walked up to there.
    Working(u64),
    /// There are no more.
    Done,
}

/// A walk from `start` on, as JavaScript takes it.
pub(crate) struct Batches<W> {
    /// Taken while a batch is under way.
    walk: Rc<RefCell<Option<W>>>,
    start: u64,
    runtime: Rc<Runtime>,
}

impl<W: Walk + 'static> Batches<W> {
    pub(crate) fn new(walk: W, start: u64, runtime: Rc<Runtime>) -> Self {
        Self { walk: Rc::new(RefCell::new(Some(walk))), start, runtime }
    }

    /// The next extents, at most `limit`, as numbers: how many bytes have been walked; 1 if that is all, else 0; then those
    /// of the extents. There may be none before the end: a batch is bounded in time.
    pub(crate) fn next(&self, limit: usize) -> Result<JsValue, JsValue> {
        let (slot, start) = (self.walk.clone(), self.start);
        self.runtime.start(async move {
            let taken = slot.borrow_mut().take();
            let mut walk = taken.ok_or_else(|| other("INVALID_ARGUMENT", "the batch before is still under way"))?;
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
            // The next batch meets the error again.
            Err(_) if extents > 0 => break,
            Err(error) => return Err(error),
        }
    }
    numbers[0] = number(position - start);
    Ok(Float64Array::from(numbers.as_slice()).into())
}
