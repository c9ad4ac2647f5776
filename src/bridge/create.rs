//! Creating images, for JavaScript.

use qcow2_web::{BackingFormat, CompressionType, CreateOptions, DataFileLayout, Image, Preallocation};
use wasm_bindgen::prelude::*;

use super::encrypt::NewEncryption;
use super::engine::WasmEngine;
use super::error::to_js;
use super::host::{HostCreateOptions, HostOpenOptions, HostProgress, HostStorage};
use super::image::WasmImage;
use super::open_options::open_options;
use super::storage::JsStorage;

#[wasm_bindgen]
impl WasmEngine {
    /// Creates an image and opens it for writing. Otherwise as `open`.
    pub fn create(
        &self,
        storage: HostStorage,
        what: &HostCreateOptions,
        how: &HostOpenOptions,
        progress: Option<HostProgress>,
    ) -> Result<JsValue, JsValue> {
        let runtime = self.0.clone();
        let storage = JsStorage::new(storage, &runtime);
        let data_file = how.data_file().map(|file| JsStorage::new(file, &runtime));
        let encryption = what.encryption().map(|host| NewEncryption::new(&runtime, &host, progress)).transpose()?;
        let mut what = create_options(what, data_file.is_some());
        let mut options = open_options(&runtime, data_file.clone(), how);
        self.0.start(async move {
            if let Some(encryption) = encryption {
                options = options.key_derivation(encryption.derivation.clone());
                what = what.encryption(encryption.options().await);
            }
            what.write_to(storage.clone(), data_file).await.map_err(to_js)?;
            let image = Image::open_writable(storage, options).await.map_err(to_js)?;
            Ok(WasmImage::writable(image, runtime).into())
        })
    }
}

/// Returns the options that the host asks for, with or without a data file.
fn create_options(host: &HostCreateOptions, data_file: bool) -> CreateOptions {
    let mut options = CreateOptions::new(host.size())
        .version(host.version())
        .cluster_size(host.cluster_size())
        .refcount_bits(host.refcount_bits())
        .lazy_refcounts(host.lazy_refcounts())
        .extended_l2(host.extended_l2())
        .compression(CompressionType::from_name(&host.compression()).unwrap_or(CompressionType::Zlib))
        .preallocation(preallocation(&host.preallocation()));
    if let Some(name) = host.backing_name() {
        options =
            options.backing_file(name, if host.backing_is_raw() { BackingFormat::Raw } else { BackingFormat::Qcow2 });
    }
    if data_file {
        let layout = if host.data_file_raw() { DataFileLayout::Raw } else { DataFileLayout::Clusters };
        options = options.data_file(host.data_file_name(), layout);
    }
    options
}

/// Returns the preallocation with this name.
pub(crate) fn preallocation(name: &str) -> Preallocation {
    match name {
        "metadata" => Preallocation::Metadata,
        "full" => Preallocation::Full,
        _ => Preallocation::Off,
    }
}
