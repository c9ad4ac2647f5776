//! The bridge to JavaScript, without logic of its own.

use std::rc::Rc;

use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::calls::{Object, answer, cache_of, integer, number};
use crate::disk::{self, Found, Key, Scan, Scheme};
use crate::error::{Code, Result};
use crate::fs::{Kind, Metadata, Usage};
use crate::probe::{Support, Type};
use crate::source::{Cache, Content, Decrypt, Decrypted, Device, Extent};
use crate::volume::{Entry, Listing, Volume};

/// A disk and its volumes.
#[wasm_bindgen]
pub struct WasmFiles {
    cache: Rc<Cache>,
    keys: Vec<Key>,
    scan: Option<Scan>,
}

#[wasm_bindgen]
impl WasmFiles {
    /// Creates a disk of `size` bytes. `read_sync(offset, into)` fills an array, or returns false.
    #[wasm_bindgen(constructor)]
    pub fn new(size: f64, read_sync: Option<Function>) -> Self {
        Self { cache: Rc::new(cache_of(size, read_sync)), keys: Vec::new(), scan: None }
    }

    /// Receives bytes that a call needed.
    pub fn provide(&self, offset: f64, bytes: &[u8]) {
        self.cache.provide(integer(offset), bytes);
    }

    /// Drops the cached bytes of a range, because the disk has changed there.
    pub fn forget(&self, offset: f64, length: f64) {
        self.cache.forget(integer(offset), integer(length));
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
        let unlocked: Vec<String> = self.keys.iter().map(|key| key.id.clone()).collect();
        answer(self.scanned().map(|scan| {
            Object::new()
                .with(
                    "scheme",
                    scan.scheme.map(|scheme| match scheme {
                        Scheme::Mbr => "mbr",
                        Scheme::Gpt => "gpt",
                    }),
                )
                .with("volumes", scan.volumes.iter().map(|volume| found(volume, &unlocked)).collect::<Vec<_>>())
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

#[wasm_bindgen]
impl WasmFiles {
    /// Reads the bytes of the volume that a scan named `id`, as they are on the disk.
    pub fn raw(&mut self, id: &str, offset: f64, length: usize) -> std::result::Result<JsValue, JsValue> {
        const LONGEST: usize = 16 << 20;
        answer(self.device(id).and_then(|device| {
            let within = integer(offset).checked_add(length as u64).is_some_and(|end| end <= device.size());
            if !within || length > LONGEST {
                return Err(Code::Damaged.error(format!("the volume {id} ends before its header does")));
            }
            let mut bytes = vec![0; length];
            self.cache.call(|| {
                device.read_at(integer(offset), &mut bytes).map_err(|failed| Code::Damaged.error(failed.to_string()))
            })?;
            Ok(Uint8Array::from(&bytes[..]).into())
        }))
    }

    /// Unlocks the container that a scan named `id`: its contents are `size` bytes from `offset`, or all that follow.
    ///
    /// `decrypt(number, bytes)` decrypts whole sectors in an array. The number is that of the first sector, in units of 512
    /// bytes; the contents begin with the number `first`.
    pub fn unlock(&mut self, id: String, offset: f64, size: Option<f64>, first: f64, decrypt: &Function) {
        let (offset, size, first) = (integer(offset), size.map_or(u64::MAX, integer), integer(first));
        let decrypt = Rc::new(decrypt.clone());
        let open = move |device: Rc<dyn Device>| -> Rc<dyn Device> {
            let decrypt = decrypt.clone();
            let sectors: Decrypt = Box::new(move |number, bytes| {
                let array = Uint8Array::from(&*bytes);
                let done = decrypt.call2(&JsValue::NULL, &number_of(number), &array).is_ok();
                let whole = done && array.length() as usize == bytes.len();
                if whole {
                    array.copy_to(bytes);
                }
                whole
            });
            Rc::new(Decrypted::new(device, offset, size, first, sectors))
        };
        self.keys.push(Key { id, open: Box::new(open) });
        self.scan = None;
    }
}

fn number_of(value: u64) -> JsValue {
    number(value).into()
}

impl WasmFiles {
    fn device(&mut self, id: &str) -> Result<Rc<dyn Device>> {
        let found = self.scanned()?.volumes.iter().find(|volume| volume.id == id);
        found
            .map(|found| found.device.clone())
            .ok_or_else(|| Code::NotFound.error(format!("the disk has no volume {id}")))
    }

    fn scanned(&mut self) -> Result<&Scan> {
        if self.scan.is_none() {
            let disk: Rc<dyn Device> = self.cache.clone();
            self.scan = Some(self.cache.call(|| Ok(disk::scan(&disk, &self.keys)))?);
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

    /// Returns where a part of a file is.
    pub fn extents(&mut self, path: &[u8], offset: f64, length: usize) -> std::result::Result<JsValue, JsValue> {
        answer(
            self.volume
                .extents(path, integer(offset), length)
                .map(|extents| extents.iter().map(extent).map(JsValue::from).collect::<js_sys::Array>().into()),
        )
    }

    /// Returns the target of a symbolic link, as bytes.
    #[wasm_bindgen(js_name = readLink)]
    pub fn read_link(&mut self, path: &[u8]) -> std::result::Result<JsValue, JsValue> {
        answer(self.volume.read_link(path).map(|target| Uint8Array::from(&target[..]).into()))
    }

    /// Forgets what is known of the volume, because it was changed. Its bytes are forgotten by [`WasmFiles::forget`].
    pub fn changed(&mut self) {
        self.volume.changed();
    }

    /// Returns the label and the usage that the mounted file system reports.
    pub fn facts(&mut self) -> std::result::Result<JsValue, JsValue> {
        answer(self.volume.label().and_then(|label| {
            let usage = self.volume.usage()?;
            Ok(Object::new().with("label", label).with("used", used(usage)).with("free", free(usage)).into())
        }))
    }
}

fn found(found: &Found, unlocked: &[String]) -> Object {
    let recognised = found.recognised.as_ref();
    let kind = recognised.map(|recognised| recognised.kind);
    let usage = recognised.and_then(|recognised| recognised.usage);
    Object::new()
        .with("id", found.id.clone())
        .with("type", kind.map_or("unknown", Type::id))
        .with("title", kind.map_or("Unknown", Type::title))
        .with("supported", kind.is_some_and(|kind| kind.support() == Support::Files))
        .with("writable", found.offset.is_some() && found.problem.is_none() && kind.is_some_and(Type::can_change))
        .with("container", kind.is_some_and(|kind| kind.support() == Support::Container))
        .with("locked", matches!(kind, Some(Type::Luks1 | Type::Luks2)) && !unlocked.contains(&found.id))
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

fn extent(extent: &Extent) -> Object {
    let object = Object::new().with("length", number(extent.length as u64));
    match &extent.content {
        Content::Disk(offset) => object.with("offset", number(*offset)),
        Content::Zeros => object,
        Content::Bytes(bytes) => object.with("bytes", Uint8Array::from(&bytes[..])),
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
