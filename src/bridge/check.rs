//! Checking images, for JavaScript.

use alloc::string::ToString;

use qcow2_web::{CheckOptions, CheckReport, Finding, Remedy, Severity, Verdict, check};
use wasm_bindgen::prelude::*;

use super::engine::WasmEngine;
use super::error::to_js;
use super::host::{HostProgress, HostStorage};
use super::image::WasmImage;
use super::object::{Object, Value};
use super::progress::report_to;
use super::storage::JsStorage;

#[wasm_bindgen]
impl WasmImage {
    /// Checks the image.
    pub fn check(&self, max_findings: usize, progress: Option<HostProgress>) -> Result<JsValue, JsValue> {
        let image = self.image.clone();
        self.runtime.start(async move {
            let report = image.check(check_options(max_findings, progress)).await;
            Ok(report.map_err(to_js)?.to_js())
        })
    }
}

#[wasm_bindgen]
impl WasmEngine {
    /// Checks an image, which need not be openable.
    pub fn check(
        &self,
        storage: HostStorage,
        max_findings: usize,
        progress: Option<HostProgress>,
    ) -> Result<JsValue, JsValue> {
        let storage = JsStorage::new(storage, &self.0);
        self.0.start(async move {
            let report = check(&storage, check_options(max_findings, progress)).await;
            Ok(report.map_err(to_js)?.to_js())
        })
    }
}

pub(super) fn check_options(max_findings: usize, progress: Option<HostProgress>) -> CheckOptions<'static> {
    CheckOptions::new().max_findings(max_findings).on_progress(report_to(progress))
}

impl Value for CheckReport {
    fn to_js(self) -> JsValue {
        Object::new()
            .with("verdict", self.verdict())
            .with("leaks", self.leaks)
            .with("corruptions", self.corruptions)
            .with("checkErrors", self.check_errors)
            .with("totalClusters", self.total_clusters)
            .with("allocatedClusters", self.allocated_clusters)
            .with("fragmentedClusters", self.fragmented_clusters)
            .with("compressedClusters", self.compressed_clusters)
            .with("imageEndOffset", self.image_end_offset)
            .with("findings", self.findings)
            .with("unlisted", self.unlisted)
            .with("lossy", self.lossy)
            .with("dirty", self.is_dirty)
            .with("markedCorrupt", self.is_marked_corrupt)
            .into()
    }
}

impl Value for Finding {
    fn to_js(self) -> JsValue {
        Object::new()
            .with("code", self.code())
            .with("severity", self.severity())
            .with("remedy", self.remedy())
            .with("offset", self.offset())
            .with("message", self.to_string())
            .into()
    }
}

impl Value for Verdict {
    fn to_js(self) -> JsValue {
        match self {
            Self::Clean => "clean",
            Self::Leaks => "leaks",
            Self::Corrupt => "corrupt",
            Self::Incomplete => "incomplete",
        }
        .into()
    }
}

impl Value for Severity {
    fn to_js(self) -> JsValue {
        match self {
            Self::Leak => "leak",
            Self::Corruption => "corruption",
            Self::CheckError => "error",
        }
        .into()
    }
}

impl Value for Remedy {
    fn to_js(self) -> JsValue {
        match self {
            Self::Free => "free",
            Self::Lossless => "lossless",
            Self::Loss => "loss",
        }
        .into()
    }
}
