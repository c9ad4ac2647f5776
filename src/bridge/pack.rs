//! Compressing clusters for an image whose engine is elsewhere.

use core::num::NonZeroUsize;

use js_sys::{Uint8Array, Uint32Array};
use qcow2_web::{Codecs, CompressionType, Error, Packer, Unsupported};
use wasm_bindgen::prelude::*;

use super::error::to_js;
use super::object::Object;

/// Compresses clusters for one image.
#[wasm_bindgen]
pub struct WasmPacker(Packer);

#[wasm_bindgen]
impl WasmPacker {
    /// Creates a packer for a cluster size and the compression type of this name.
    #[wasm_bindgen(constructor)]
    pub fn new(compression: &str, cluster_size: usize) -> Result<Self, JsValue> {
        let kind = CompressionType::from_name(compression).unwrap_or(CompressionType::Zlib);
        let missing = || to_js(Error::from(Unsupported::NoCodec { name: kind.name() }));
        let make = Codecs::default().get(kind).compressor.ok_or_else(missing)?;
        let cluster_size = NonZeroUsize::new(cluster_size).unwrap_or(NonZeroUsize::MIN);
        Ok(Self(Packer::new(make(kind.default_level()), cluster_size)))
    }

    /// Compresses a range of the disk. The value is an object of `lengths` and `bytes`.
    pub fn pack(&mut self, disk: &[u8]) -> JsValue {
        let clusters = self.0.pack(disk);
        let lengths = Uint32Array::from(clusters.lengths.as_slice());
        Object::new()
            .with("lengths", JsValue::from(lengths))
            .with("bytes", JsValue::from(Uint8Array::from(clusters.bytes.as_slice())))
            .into()
    }
}
