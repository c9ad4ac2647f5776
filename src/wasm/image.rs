//! An open image, for JavaScript.

use alloc::rc::Rc;

use wasm_bindgen::prelude::*;

use super::buffers::Bytes;
use super::engine::Engine;
use super::error::{Fault, other, to_js};
use super::map::WasmMap;
use super::object::Value;
use super::storage::JsStorage;
use super::tasks::Outcome;
use crate::error::Error;
use crate::image::Image;
use crate::ready::now_or_never;

/// An open image, or one of its snapshots. Freeing it does not end what is under way.
#[wasm_bindgen]
pub struct WasmImage {
    pub(super) image: Image<JsStorage>,
    pub(super) engine: Rc<Engine>,
}

impl WasmImage {
    pub(crate) fn new(image: Image<JsStorage>, engine: Rc<Engine>) -> Self {
        Self { image, engine }
    }

    /// What a request comes to that never waits.
    fn now(&self, request: impl Future<Output = Outcome>) -> Outcome {
        if !self.engine.all_sync() {
            return Err(not_sync());
        }
        now_or_never(request).unwrap_or_else(|| Err(not_sync()))
    }
}

#[wasm_bindgen]
impl WasmImage {
    /// The disk's size in bytes.
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> JsValue {
        self.image.size().to_js()
    }

    /// True if `read_sync` works.
    #[wasm_bindgen(getter)]
    pub fn sync(&self) -> bool {
        self.engine.all_sync()
    }

    /// The length of the VM state in bytes.
    #[wasm_bindgen(getter)]
    pub fn vm_state_size(&self) -> JsValue {
        self.image.vm_state_size().to_js()
    }

    /// Fills an array with the disk's bytes from `offset` on.
    pub fn read(&self, offset: u64, into: Bytes) -> Result<JsValue, JsValue> {
        let (image, engine) = (self.image.clone(), self.engine.clone());
        self.engine.start(async move {
            engine.buffers.fill(&into, offset, async |at, buf| image.read_at(at, buf).await).await
        })
    }

    /// The same, at once.
    pub fn read_sync(&self, offset: u64, into: &Bytes) -> Result<(), JsValue> {
        let read = self.engine.buffers.fill(into, offset, async |at, buf| self.image.read_at(at, buf).await);
        self.now(read)?;
        Ok(())
    }

    /// Writes the bytes of an array at `offset` of the disk.
    pub fn write(&self, offset: u64, from: Bytes) -> Result<JsValue, JsValue> {
        let (image, engine) = (self.image.clone(), self.engine.clone());
        self.engine.start(async move {
            engine.buffers.drain(&from, offset, async |at, buf| image.write_at(at, buf).await).await
        })
    }

    /// The same, at once.
    pub fn write_sync(&self, offset: u64, from: &Bytes) -> Result<(), JsValue> {
        let write = self.engine.buffers.drain(from, offset, async |at, buf| self.image.write_at(at, buf).await);
        self.now(write)?;
        Ok(())
    }

    /// Writes the bytes of an array at `offset` of the disk in compressed clusters.
    pub fn write_compressed(&self, offset: u64, from: Bytes) -> Result<JsValue, JsValue> {
        let (image, engine) = (self.image.clone(), self.engine.clone());
        self.engine.start(async move {
            image.check_compressed_write(offset, from.byte_count()).map_err(to_js)?;
            engine.buffers.drain(&from, offset, async |at, buf| image.write_compressed(at, buf).await).await
        })
    }

    /// Makes a part of the disk read as zeros.
    pub fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.engine.start(async move { done(image.write_zeroes(offset, length, unmap).await) })
    }

    /// Gives back the clusters of a part of the disk.
    pub fn discard(&self, offset: u64, length: u64) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.engine.start(async move { done(image.discard(offset, length).await) })
    }

    /// Makes durable what was written.
    pub fn flush(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.engine.start(async move { done(image.flush().await) })
    }

    /// The same, at once.
    pub fn flush_sync(&self) -> Result<(), JsValue> {
        self.now(async { done(self.image.flush().await) })?;
        Ok(())
    }

    /// Flushes, and settles what else there is to be settled.
    pub fn close(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.engine.start(async move { done(image.close().await) })
    }

    /// What the image is.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.engine.start(async move { Ok(image.info().await.map_err(to_js)?.to_js()) })
    }

    /// How the byte at `offset` is mapped.
    pub fn locate(&self, offset: u64) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.engine.start(async move { Ok(image.locate(offset).await.map_err(to_js)?.to_js()) })
    }

    /// The map of a part of the disk.
    pub fn map(&self, offset: u64, length: u64) -> Result<WasmMap, JsValue> {
        let map = self.image.map(offset, length).map_err(to_js)?;
        Ok(WasmMap::new(map, offset, self.engine.clone()))
    }
}

pub(super) fn done(result: Result<(), Error<Fault>>) -> Outcome {
    result.map(|()| JsValue::UNDEFINED).map_err(to_js)
}

fn not_sync() -> JsValue {
    other("NOT_SYNC", "a storage of this image is asynchronous, so nothing of it can be had synchronously")
}
