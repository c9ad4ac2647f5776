//! Packing clusters for an image whose engine is elsewhere.

use core::num::NonZeroUsize;

use js_sys::{Uint8Array, Uint32Array};
use qcow2_web::{Codecs, Error, Packer, Unsupported};
use wasm_bindgen::prelude::*;

use super::error::to_js;
use super::object::Object;

/// Packs clusters for one image.
#[wasm_bindgen]
pub struct WasmPacker(Packer);

#[wasm_bindgen]
impl WasmPacker {
    /// Packs clusters of a size, by zstd or by deflate.
    #[wasm_bindgen(constructor)]
    pub fn new(zstd: bool, cluster_size: usize) -> Result<Self, JsValue> {
        let codecs = Codecs::default();
        let (name, make) = if zstd { ("zstd", codecs.zstd_writer) } else { ("deflate", codecs.deflate_writer) };
        let make = make.ok_or_else(|| to_js(Error::from(Unsupported::NoCodec { name })))?;
        Ok(Self(Packer::new(make(), NonZeroUsize::new(cluster_size).unwrap_or(NonZeroUsize::MIN))))
    }

    /// What the clusters of a part of the disk are stored as: an object of `lengths` and `bytes`.
    pub fn pack(&mut self, disk: &[u8]) -> JsValue {
        let packed = self.0.pack(disk);
        let lengths = Uint32Array::from(packed.lengths.as_slice());
        Object::new()
            .with("lengths", JsValue::from(lengths))
            .with("bytes", JsValue::from(Uint8Array::from(packed.bytes.as_slice())))
            .into()
    }
}
