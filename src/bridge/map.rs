//! Walking over the map of a disk.

use alloc::rc::Rc;
use alloc::vec::Vec;

use qcow2_web::{Error, Extent, Map, Step};
use wasm_bindgen::prelude::*;

use super::error::Fault;
use super::object::number;
use super::runtime::Runtime;
use super::storage::JsStorage;
use super::walk::{Batches, Stepped, Walk};

/// The map of a range of a disk.
#[wasm_bindgen]
pub struct WasmMap(Batches<Map<JsStorage>>);

impl WasmMap {
    pub(crate) fn new(map: Map<JsStorage>, start: u64, runtime: Rc<Runtime>) -> Self {
        Self(Batches::new(map, start, runtime))
    }
}

#[wasm_bindgen]
impl WasmMap {
    /// Returns the next batch, see `Batches::next`. An extent is its start, length, depth, flags (1 present, 2 zero, 4
    /// data, 8 compressed) and offset, or −1.
    pub fn next(&self, limit: usize) -> Result<JsValue, JsValue> {
        self.0.next(limit)
    }
}

impl Walk for Map<JsStorage> {
    async fn step(&mut self, numbers: &mut Vec<f64>) -> Result<Stepped, Error<Fault>> {
        Ok(match Map::step(self).await? {
            Step::Extent(extent) => {
                numbers.extend(extent_numbers(&extent));
                Stepped::Extent(extent.start + extent.length)
            }
            Step::Working { position } => Stepped::Working(position),
            Step::Done => Stepped::Done,
        })
    }
}

fn extent_numbers(extent: &Extent) -> [f64; 5] {
    let flags = [extent.present, extent.zero, extent.data, extent.compressed];
    let flags = flags.iter().enumerate().map(|(bit, set)| u32::from(*set) << bit).sum::<u32>();
    let offset = extent.offset.map_or(-1.0, number);
    [number(extent.start), number(extent.length), extent.depth.into(), flags.into(), offset]
}
