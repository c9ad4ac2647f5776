//! Converting the engine's values to plain objects: see `src/js/engine/values.ts` for their members.

use alloc::string::ToString;
use alloc::vec::Vec;

use js_sys::Uint8Array;
use qcow2_web::{
    BitmapInfo, ChainLink, EncryptionInfo, Extension, FeatureBit, Info, Inspection, KeySlotInfo, Location,
    LocationKind, Problem, RawHeader, Snapshot,
};
use wasm_bindgen::JsValue;

use super::object::{Object, Value};

/// A number that becomes a bigint, because all its bits matter.
struct Exact(u64);

impl Value for Exact {
    fn to_js(self) -> JsValue {
        self.0.into()
    }
}

impl Value for Info {
    fn to_js(self) -> JsValue {
        let compat = self.compat();
        let unknown = self.unknown_extensions.into_iter();
        let unknown =
            unknown.map(|(kind, length)| Object::new().with("type", kind).with("length", length)).collect::<Vec<_>>();
        Object::new()
            .with("virtualSize", self.virtual_size)
            .with("fileSize", self.file_size)
            .with("clusterSize", self.cluster_size)
            .with("version", self.version)
            .with("compat", compat)
            .with("compressionType", self.compression.name())
            .with("refcountBits", self.refcount_bits)
            .with("lazyRefcounts", self.lazy_refcounts)
            .with("extendedL2", self.extended_l2)
            .with("dirty", self.dirty)
            .with("corrupt", self.corrupt)
            .with("encryption", self.encryption)
            .with("backingFile", self.backing_file)
            .with("backingFormat", self.backing_format)
            .with("externalDataFile", self.external_data_file)
            .with("dataFile", self.data_file)
            .with("dataFileRaw", self.data_file_raw)
            .with("bitmaps", self.bitmaps)
            .with("features", self.features)
            .with("unknownExtensions", unknown)
            .with("missing", self.missing)
            .with("problems", self.problems)
            .with("chain", self.chain)
            .into()
    }
}

impl Value for EncryptionInfo {
    fn to_js(self) -> JsValue {
        let object = Object::new().with("format", self.method().name());
        // The legacy method has nothing else to report.
        let Self::Luks(luks) = self else { return object.into() };
        object
            .with("cipher", luks.cipher)
            .with("mode", luks.mode)
            .with("hash", luks.hash)
            .with("keyBits", luks.key_bits)
            .with("uuid", luks.uuid)
            .with("digestIterations", luks.digest_iterations)
            .with("keySlots", luks.slots)
            .into()
    }
}

impl Value for KeySlotInfo {
    fn to_js(self) -> JsValue {
        Object::new()
            .with("active", self.active)
            .with("iterations", self.iterations)
            .with("offset", self.offset)
            .with("stripes", self.stripes)
            .into()
    }
}

impl Value for ChainLink {
    fn to_js(self) -> JsValue {
        Object::new()
            .with("format", self.format.name())
            .with("virtualSize", self.virtual_size)
            .with("fileSize", self.file_size)
            .into()
    }
}

impl Value for BitmapInfo {
    fn to_js(self) -> JsValue {
        Object::new()
            .with("name", self.name)
            .with("granularity", self.granularity)
            .with("inUse", self.in_use)
            .with("auto", self.auto)
            .into()
    }
}

impl Value for FeatureBit {
    fn to_js(self) -> JsValue {
        Object::new().with("kind", self.kind.name()).with("bit", self.bit).with("name", self.name).into()
    }
}

impl Value for Snapshot {
    fn to_js(self) -> JsValue {
        Object::new()
            .with("id", self.id)
            .with("name", self.name)
            .with("dateSec", self.date_sec)
            .with("dateNsec", self.date_nsec)
            .with("vmClockNsec", Exact(self.vm_clock_nsec))
            .with("vmStateSize", self.vm_state_size)
            .with("diskSize", self.disk_size)
            .with("icount", self.icount.map(Exact))
            .with("l1TableOffset", self.l1_table_offset)
            .with("l1Entries", self.l1_entries)
            .into()
    }
}

impl Value for Location {
    fn to_js(self) -> JsValue {
        Object::new()
            .with("l1Index", self.l1_index)
            .with("l1EntryOffset", self.l1_entry_offset)
            .with("l1Entry", self.l1_entry.map(Exact))
            .with("l2TableOffset", self.l2_table_offset)
            .with("l2Index", self.l2_index)
            .with("l2EntryOffset", self.l2_entry_offset)
            .with("l2Entry", self.l2_entry.map(Exact))
            .with("l2Bitmap", self.l2_bitmap.map(Exact))
            .with("kind", self.kind)
            .with("hostOffset", self.host_offset)
            .with("compressedLength", self.compressed_length)
            .into()
    }
}

impl Value for LocationKind {
    fn to_js(self) -> JsValue {
        match self {
            Self::Unallocated => "unallocated",
            Self::Zero => "zero",
            Self::Data => "data",
            Self::Compressed => "compressed",
        }
        .into()
    }
}

impl Value for Inspection {
    fn to_js(self) -> JsValue {
        Object::new()
            .with("fileSize", self.file_size)
            .with("format", self.format.name())
            .with("header", self.header)
            .with("features", self.features)
            .with("extensions", self.extensions)
            .with("encryption", self.encryption)
            .with("backingFile", self.backing_file)
            .with("backingFormat", self.backing_format)
            .with("dataFile", self.data_file)
            .with("snapshots", self.snapshots)
            .with("missing", self.missing)
            .with("problems", self.problems)
            .into()
    }
}

impl Value for RawHeader {
    fn to_js(self) -> JsValue {
        Object::new()
            .with("version", self.version)
            .with("backingFileOffset", Exact(self.backing_file_offset))
            .with("backingFileSize", self.backing_file_size)
            .with("clusterBits", self.cluster_bits)
            .with("size", Exact(self.size))
            .with("cryptMethod", self.crypt_method)
            .with("l1Size", self.l1_size)
            .with("l1TableOffset", Exact(self.l1_table_offset))
            .with("refcountTableOffset", Exact(self.refcount_table_offset))
            .with("refcountTableClusters", self.refcount_table_clusters)
            .with("nbSnapshots", self.nb_snapshots)
            .with("snapshotsOffset", Exact(self.snapshots_offset))
            .with("incompatibleFeatures", Exact(self.incompatible_features))
            .with("compatibleFeatures", Exact(self.compatible_features))
            .with("autoclearFeatures", Exact(self.autoclear_features))
            .with("refcountOrder", self.refcount_order)
            .with("headerLength", self.header_length)
            .with("compressionType", self.compression_type)
            .into()
    }
}

impl Value for Extension {
    fn to_js(self) -> JsValue {
        Object::new()
            .with("type", self.kind)
            .with("offset", self.offset)
            .with("data", JsValue::from(Uint8Array::from(self.data.as_slice())))
            .into()
    }
}

impl Value for Problem {
    fn to_js(self) -> JsValue {
        Object::new().with("code", self.code()).with("message", self.to_string()).with("offset", self.offset()).into()
    }
}
