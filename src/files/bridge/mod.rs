//! The bridge to JavaScript, without logic of its own.
//!
//! Each call returns `{ value }`, or `{ need: [offset, length] }` if bytes of the disk are missing: the caller provides
//! them and calls again. Errors are thrown as `{ code, message }`.

#[path = "../../bridge/object.rs"]
mod object;

use std::rc::Rc;

use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::disk::{self, Found, Scan, Scheme};
use crate::error::{Code, Error, Result};
use crate::fs::{Kind, Metadata, Usage};
use crate::probe::{Support, Type};
use crate::source::{Cache, Device, ReadSync};
use crate::volume::{Entry, Listing, Volume};
use object::{Object, integer, number};

/// A disk and its volumes.
#[wasm_bindgen]
pub struct WasmFiles {
    cache: Rc<Cache>,
    scan: Option<Scan>,
}

#[wasm_bindgen]
impl WasmFiles {
    /// Creates a disk of `size` bytes. `read_sync(offset, into)` fills an array, or returns false.
    #[wasm_bindgen(constructor)]
    pub fn new(size: f64, read_sync: Option<Function>) -> Self {
        let read_sync = read_sync.map(|read| -> ReadSync {
            Box::new(move |offset, into| {
                let Ok(length) = u32::try_from(into.len()) else { return false };
                let array = Uint8Array::new_with_length(length);
                let done = read.call2(&JsValue::NULL, &number(offset).into(), &array);
                let filled = done.is_ok_and(|done| done.is_truthy()) && array.length() == length;
                if filled {
                    array.copy_to(into);
                }
                filled
            })
        });
        Self { cache: Rc::new(Cache::new(integer(size), read_sync)), scan: None }
    }

    /// Receives bytes that a call needed.
    pub fn provide(&self, offset: f64, bytes: &[u8]) {
        self.cache.provide(integer(offset), bytes);
    }

    /// Drops all cached bytes, because the disk has changed.
    pub fn forget(&mut self) {
        self.cache.clear();
        self.scan = None;
    }

    /// Returns the counters: calls, reruns, requests, bytes.
    pub fn statistics(&self) -> JsValue {
        let statistics = self.cache.statistics();
        Object::new()
            .with("calls", number(statistics.calls))
            .with("reruns", number(statistics.reruns))
            .with("requests", number(statistics.requests))
            .with("bytes", number(statistics.bytes))
            .into()
    }

    /// Finds the volumes.
    pub fn scan(&mut self) -> std::result::Result<JsValue, JsValue> {
        answer(self.scanned().map(|scan| {
            Object::new()
                .with(
                    "scheme",
                    scan.scheme.map(|scheme| match scheme {
                        Scheme::Mbr => "mbr",
                        Scheme::Gpt => "gpt",
                    }),
                )
                .with("volumes", scan.volumes.iter().map(found).collect::<Vec<_>>())
                .with("problems", scan.problems.clone())
                .into()
        }))
    }

    /// Opens the volume that a scan named `id`.
    pub fn open(&mut self, id: &str) -> std::result::Result<JsValue, JsValue> {
        let cache = self.cache.clone();
        answer(self.scanned().and_then(|scan| {
            let found = scan
                .volumes
                .iter()
                .find(|volume| volume.id == id)
                .ok_or_else(|| Code::NotFound.error(format!("the disk has no volume {id}")))?;
            if let Some(problem) = found.problem.as_ref().filter(|_| found.recognised.is_none()) {
                return Err(Code::Unsupported.error(problem.clone()));
            }
            let Some(recognised) = &found.recognised else {
                return Err(Code::Unsupported.error("no known file system was found"));
            };
            match recognised.kind.support() {
                Support::Files => {}
                Support::Container => {
                    return Err(Code::Unsupported.error(format!("{}: holds other volumes", recognised.kind.title())));
                }
                Support::Name => {
                    return Err(Code::Unsupported.error(format!("{}: not supported", recognised.kind.title())));
                }
            }
            let volume = Volume::new(cache, found.device.clone(), recognised.kind);
            Ok(WasmVolume { volume, listings: Vec::new() }.into())
        }))
    }
}

impl WasmFiles {
    fn scanned(&mut self) -> Result<&Scan> {
        if self.scan.is_none() {
            let disk: Rc<dyn Device> = self.cache.clone();
            self.scan = Some(self.cache.call(|| Ok(disk::scan(&disk)))?);
        }
        self.scan.as_ref().ok_or_else(|| Code::Invalid.error("the disk was not read"))
    }
}

/// A volume whose files are read. Paths are bytes.
#[wasm_bindgen]
pub struct WasmVolume {
    volume: Volume,
    listings: Vec<Option<Listing>>,
}

#[wasm_bindgen]
impl WasmVolume {
    /// Returns the metadata of the file at `path`.
    pub fn stat(&mut self, path: &[u8], follow: bool) -> std::result::Result<JsValue, JsValue> {
        answer(self.volume.stat(path, follow).map(|metadata| describe(&metadata).into()))
    }

    /// Starts a listing and returns its number.
    pub fn list(&mut self, path: &[u8]) -> std::result::Result<JsValue, JsValue> {
        answer(self.volume.list(path).map(|listing| {
            let free = self.listings.iter().position(Option::is_none);
            let number = free.unwrap_or_else(|| {
                self.listings.push(None);
                self.listings.len() - 1
            });
            self.listings[number] = Some(listing);
            JsValue::from(number)
        }))
    }

    /// Returns the next entries of a listing; none at its end.
    pub fn next(&mut self, listing: usize, count: usize) -> std::result::Result<JsValue, JsValue> {
        let volume = &mut self.volume;
        answer(match self.listings.get_mut(listing) {
            Some(Some(listing)) => volume
                .next(listing, count)
                .map(|entries| entries.iter().map(entry).map(JsValue::from).collect::<js_sys::Array>().into()),
            _ => Err(Code::Invalid.error("the listing is closed")),
        })
    }

    /// Ends a listing.
    pub fn end(&mut self, listing: usize) {
        if let Some(listing) = self.listings.get_mut(listing) {
            *listing = None;
        }
    }

    /// Reads from a file.
    pub fn read(&mut self, path: &[u8], offset: f64, length: usize) -> std::result::Result<JsValue, JsValue> {
        answer(self.volume.read(path, integer(offset), length).map(|bytes| Uint8Array::from(&bytes[..]).into()))
    }

    /// Returns the target of a symbolic link, as bytes.
    #[wasm_bindgen(js_name = readLink)]
    pub fn read_link(&mut self, path: &[u8]) -> std::result::Result<JsValue, JsValue> {
        answer(self.volume.read_link(path).map(|target| Uint8Array::from(&target[..]).into()))
    }

    /// Returns the label and the usage that the mounted file system reports.
    pub fn facts(&mut self) -> std::result::Result<JsValue, JsValue> {
        answer(self.volume.label().and_then(|label| {
            let usage = self.volume.usage()?;
            Ok(Object::new().with("label", label).with("used", used(usage)).with("free", free(usage)).into())
        }))
    }
}

fn answer(result: Result<JsValue>) -> std::result::Result<JsValue, JsValue> {
    match result {
        Ok(value) => Ok(Object::new().with("value", value).into()),
        Err(Error::Need(range)) => {
            let need = vec![number(range.start), number(range.end - range.start)];
            Ok(Object::new().with("need", need).into())
        }
        Err(Error::Failed(code, message)) => {
            Err(Object::new().with("code", code.name()).with("message", message).into())
        }
    }
}

fn found(found: &Found) -> Object {
    let recognised = found.recognised.as_ref();
    let kind = recognised.map(|recognised| recognised.kind);
    let usage = recognised.and_then(|recognised| recognised.usage);
    Object::new()
        .with("id", found.id.clone())
        .with("type", kind.map_or("unknown", Type::id))
        .with("title", kind.map_or("Unknown", Type::title))
        .with("supported", found.problem.is_none() && kind.is_some_and(|kind| kind.support() == Support::Files))
        .with("container", kind.is_some_and(|kind| kind.support() == Support::Container))
        .with("label", recognised.and_then(|recognised| recognised.label.clone()))
        .with("uuid", recognised.and_then(|recognised| recognised.uuid.clone()))
        .with("size", number(recognised.and_then(|recognised| recognised.size).unwrap_or(found.device.size())))
        .with("used", used(usage))
        .with("free", free(usage))
        .with("offset", found.offset.map(number))
        .with("length", number(found.device.size()))
        .with("problem", found.problem.clone())
        .with(
            "partition",
            found.partition.as_ref().map(|partition| {
                Object::new()
                    .with("number", number(partition.number as u64))
                    .with("type", partition.kind.clone())
                    .with("name", partition.name.clone())
                    .with("uuid", partition.uuid.clone())
            }),
        )
}

fn used(usage: Option<Usage>) -> Option<f64> {
    usage.map(|usage| number(usage.used))
}

fn free(usage: Option<Usage>) -> Option<f64> {
    usage.map(|usage| number(usage.free))
}

fn entry(entry: &Entry) -> Object {
    let name = Uint8Array::from(&entry.name[..]);
    let object = match &entry.metadata {
        Ok(metadata) => describe(metadata),
        Err(problem) => Object::new().with("kind", kind(entry.kind)).with("size", 0.0).with("problem", problem.clone()),
    };
    match std::str::from_utf8(&entry.name) {
        Ok(text) => object.with("name", text.to_owned()),
        Err(_) => object.with("name", String::from_utf8_lossy(&entry.name).into_owned()).with("nameBytes", name),
    }
}

fn describe(metadata: &Metadata) -> Object {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds, as JavaScript has them")]
    let time = |time: Option<crate::fs::Time>| {
        time.map(|time| time.seconds as f64 * 1000.0 + f64::from(time.nanoseconds / 1000) / 1000.0)
    };
    Object::new()
        .with("kind", kind(metadata.kind))
        .with("size", number(metadata.size))
        .with("modified", time(metadata.modified))
        .with("accessed", time(metadata.accessed))
        .with("changed", time(metadata.changed))
        .with("created", time(metadata.created))
        .with("mode", metadata.mode.map(f64::from))
        .with("uid", metadata.uid.map(f64::from))
        .with("gid", metadata.gid.map(f64::from))
        .with("links", metadata.links.map(number))
        .with("inode", metadata.id.map(|id| id.to_string()))
        .with("attributes", metadata.attributes.map(f64::from))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Link => "link",
        Kind::Other => "other",
    }
}
