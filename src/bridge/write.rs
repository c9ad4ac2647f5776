//! Writing to an open image, for JavaScript.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::pin::Pin;

use qcow2_web::{Error, Image, PackedClusters, ZeroMode};
use wasm_bindgen::prelude::*;

use super::buffers::Bytes;
use super::error::{Fault, to_js};
use super::image::WasmImage;
use super::runtime::Runtime;
use super::storage::JsStorage;
use super::tasks::Outcome;

#[wasm_bindgen]
impl WasmImage {
    /// Writes an array at `offset` of the disk.
    pub fn write(&self, offset: u64, from: Bytes) -> Result<JsValue, JsValue> {
        if let Some(written) = self.write_directly(offset, &from) {
            return written;
        }
        let (image, runtime) = (self.image.clone(), self.runtime.clone());
        self.runtime.start(async move {
            runtime.buffers.drain(&from, offset, async |at, buf| image.write_at(at, buf).await).await
        })
    }

    /// As [`WasmImage::write`], without waiting.
    pub fn write_sync(&self, offset: u64, from: &Bytes) -> Result<(), JsValue> {
        if let Some(written) = self.write_directly(offset, from) {
            written?;
            return Ok(());
        }
        let write = self.runtime.buffers.drain(from, offset, async |at, buf| self.image.write_at(at, buf).await);
        self.now(write)?;
        Ok(())
    }

    /// Writes an array at `offset` of the disk in compressed clusters.
    pub fn write_compressed(&self, offset: u64, from: Bytes) -> Result<JsValue, JsValue> {
        let (image, runtime) = (self.image.clone(), self.runtime.clone());
        self.runtime.start(async move {
            image.check_compressed_write(offset, from.byte_count()).map_err(to_js)?;
            runtime.buffers.drain(&from, offset, async |at, buf| image.write_compressed(at, buf).await).await
        })
    }

    /// Writes clusters that a `WasmPacker` has compressed, from `offset` of the disk.
    pub fn write_packed(&self, offset: u64, lengths: Vec<u32>, bytes: Vec<u8>) -> Result<JsValue, JsValue> {
        let (image, clusters) = (self.image.clone(), PackedClusters { lengths, bytes });
        self.runtime.start(async move { done(image.write_precompressed(offset, &clusters).await) })
    }

    /// Zeroes a range of the disk.
    pub fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> Result<JsValue, JsValue> {
        let mode = zero_mode(unmap);
        let image = self.image.clone();
        self.runtime.start(async move { done(image.write_zeroes(offset, length, mode).await) })
    }

    /// Frees the clusters of a range of the disk.
    pub fn discard(&self, offset: u64, length: u64) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.discard(offset, length).await) })
    }

    /// As `write_zeroes`, without waiting.
    pub fn write_zeroes_sync(&self, offset: u64, length: u64, unmap: bool) -> Result<(), JsValue> {
        self.now(async { done(self.image.write_zeroes(offset, length, zero_mode(unmap)).await) })?;
        Ok(())
    }

    /// As `discard`, without waiting.
    pub fn discard_sync(&self, offset: u64, length: u64) -> Result<(), JsValue> {
        self.now(async { done(self.image.discard(offset, length).await) })?;
        Ok(())
    }

    /// Makes everything that was written durable.
    pub fn flush(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.flush().await) })
    }

    /// As [`WasmImage::flush`], without waiting.
    pub fn flush_sync(&self) -> Result<(), JsValue> {
        self.now(async { done(self.image.flush().await) })?;
        Ok(())
    }

    /// Copies a range of the disk from the backing file into the image.
    pub fn copy_up(&self, offset: u64, length: u64) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.copy_up(offset, length).await) })
    }

    /// Removes the backing file's name if the disk does not need the file.
    pub fn remove_backing(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.remove_backing().await) })
    }

    /// Empties the image.
    pub fn empty(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.empty().await) })
    }

    /// Flushes, and completes all pending metadata writes.
    pub fn close(&self) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move { done(image.close().await) })
    }
}

impl WasmImage {
    /// An image that is open for writing.
    pub(crate) fn writable(image: Image<JsStorage>, runtime: Rc<Runtime>) -> Self {
        image.set_pause(pauses(&runtime));
        Self::new(image, runtime)
    }

    /// Writes in place directly from the caller's array, if that is possible without waiting.
    fn write_directly(&self, offset: u64, from: &Bytes) -> Option<Outcome> {
        if !self.runtime.all_sync() {
            return None;
        }
        let written = self.image.write_in_place_with(offset, from.byte_count(), |storage, host_offset| {
            storage.write_from(host_offset, from)
        });
        written.map(done)
    }
}

/// The outcome of a request without a value.
pub(super) fn done(result: Result<(), Error<Fault>>) -> Outcome {
    result.map(|()| JsValue::UNDEFINED).map_err(to_js)
}

/// How long a change works before it lets other tasks run, in milliseconds.
const TURN: f64 = 20.0;

/// Requests a pause from the host when a turn is over.
fn pauses(runtime: &Rc<Runtime>) -> impl Fn() -> Option<Pin<Box<dyn Future<Output = ()>>>> + 'static {
    let (runtime, began) = (runtime.clone(), Rc::new(Cell::new(runtime.host.now())));
    move || {
        if runtime.in_sync_call() || runtime.host.now() - began.get() < TURN {
            return None;
        }
        let (runtime, began) = (runtime.clone(), began.clone());
        Some(Box::pin(async move {
            // Whatever the answer, other tasks have run.
            let _ = runtime.requests.ask(None, |request| runtime.host.pause(request)).await;
            began.set(runtime.host.now());
        }))
    }
}

fn zero_mode(unmap: bool) -> ZeroMode {
    if unmap { ZeroMode::Unmap } else { ZeroMode::KeepAllocated }
}
