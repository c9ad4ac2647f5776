//! An image read by both sides: contents, map and info.

use std::path::{Path, PathBuf};

use qcow2_web::storage::FileStorage;
use qcow2_web::{
    BackingFile, BackingRequest, BackingResolver, BitmapInfo, Extent, Image, Info, OpenOptions, Snapshot, Storage,
    Supply,
};
use serde_json::{Value, json};

use crate::common::disk::Disk;
use crate::common::executor::{Tasks, block_on};
use crate::common::index;
use crate::common::lab::{Lab, Row};
use crate::common::random::Random;
use crate::common::reading::{assert_same, extents, frugal, now, range, ranges, whole};

/// The folder in which an image, its backing files and its data file are: what a caller knows who lets names be
/// followed within it.
#[derive(Clone)]
pub struct Folder {
    path: PathBuf,
    data_file: Option<String>,
}

impl Folder {
    pub fn new(lab: &Lab) -> Self {
        Self { path: lab.folder().to_owned(), data_file: None }
    }

    pub fn with_data_file(self, name: &str) -> Self {
        Self { data_file: Some(name.into()), ..self }
    }

    /// How to open the image, with storages made by `make`.
    pub fn options<S: Storage, F: Fn(&Path) -> S>(&self, make: F) -> OpenOptions<S, Names<F>> {
        let options = OpenOptions::new();
        let options = match &self.data_file {
            Some(name) => options.data_file(make(&self.path.join(name))),
            None => options,
        };
        options.backing(Names { folder: self.path.clone(), make })
    }

    pub fn open(&self, name: &str) -> Image<FileStorage> {
        let make = |path: &Path| FileStorage::open(path).expect("the file exists");
        let opened = now(Image::open(make(&self.path.join(name)), self.options(make)));
        opened.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The image over a storage that is never ready at once, with the smallest caches.
    pub fn open_slowly(&self, name: &str) -> Image<Disk> {
        let make = |path: &Path| Disk::slow_file(path);
        let opened = block_on(Image::open(make(&self.path.join(name)), frugal(self.options(make))));
        opened.unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// Opens backing files by their names.
pub struct Names<F> {
    folder: PathBuf,
    make: F,
}

impl<S: Storage, F: Fn(&Path) -> S> BackingResolver<S> for Names<F> {
    async fn resolve(&mut self, request: BackingRequest<'_>) -> Result<Supply<S>, S::Error> {
        Ok(Supply::File(BackingFile::from((self.make)(&self.folder.join(request.name)))))
    }
}

/// Reads the image in every way, and compares contents, map and info with QEMU's.
pub fn compare_with_qemu(lab: &Lab, folder: &Folder, name: &str) {
    compare_contents_with_qemu(folder, name, &lab.contents(name));
    compare_map_and_info(lab, folder, name);
}

/// Compares with what `qemu-img convert` has made of the image.
pub fn compare_contents_with_qemu(folder: &Folder, name: &str, converted: &[u8]) {
    compare_contents(&folder.open(name), converted);
    compare_slow_contents(&folder.open_slowly(name), converted);
}

pub fn compare_map_and_info(lab: &Lab, folder: &Folder, name: &str) {
    compare_map(lab, folder, name);
    let image = folder.open(name);
    let theirs = lab.info(name);
    compare_info(&now(image.info()).unwrap(), &theirs);
    compare_snapshot_lists(&image.snapshots(), &theirs["snapshots"]);
}

/// One read of everything, then reads here and there, over a storage that is always ready.
pub fn compare_contents<S: Storage>(image: &Image<S>, expected: &[u8]) {
    assert_same(&now(whole(image)).unwrap(), expected, "the whole disk");
    let mut random = Random::seeded(expected.len() as u64);
    for (offset, length) in ranges(&mut random, image.size(), 24) {
        let bytes = now(range(image, offset, length)).unwrap();
        assert_same(&bytes, part(expected, offset, length), &format!("{length} bytes at {offset:#x}"));
    }
}

/// Reads that overlap, with the smallest caches, over a storage that is never ready at once.
pub fn compare_slow_contents<S: Storage>(image: &Image<S>, expected: &[u8]) {
    let mut random = Random::seeded(!image.size());
    let mut tasks = Tasks::default();
    let ranges = ranges(&mut random, image.size(), 12);
    let reads: Vec<_> = ranges.iter().map(|(offset, length)| tasks.spawn(range(image, *offset, *length))).collect();
    tasks.run();
    for (read, (offset, length)) in reads.iter().zip(&ranges) {
        let bytes = read.take().expect("nothing is left waiting").unwrap();
        assert_same(&bytes, part(expected, *offset, *length), &format!("{length} bytes at {offset:#x}, slowly"));
    }
}

pub fn part(bytes: &[u8], offset: u64, length: u64) -> &[u8] {
    &bytes[index(offset)..index(offset + length)]
}

pub fn compare_map(lab: &Lab, folder: &Folder, name: &str) {
    let ours: Vec<Row> = now(extents(&folder.open(name))).unwrap().iter().map(row).collect();
    assert_rows(&ours, &lab.map(name));
    let slowly: Vec<Row> = block_on(extents(&folder.open_slowly(name))).unwrap().iter().map(row).collect();
    assert_eq!(slowly, ours, "the map over a slow storage");
}

pub fn assert_rows(ours: &[Row], expected: &[Row]) {
    for (ours, expected) in ours.iter().zip(expected) {
        assert_eq!(ours, expected, "the map");
    }
    assert_eq!(ours.len(), expected.len(), "lines of the map");
}

pub fn row(extent: &Extent) -> Row {
    Row {
        start: extent.start,
        length: extent.length,
        depth: extent.depth.into(),
        present: extent.present,
        zero: extent.zero,
        data: extent.data,
        compressed: extent.compressed,
        offset: extent.offset,
    }
}

/// Compares with `qemu-img info --output=json`, field by field; those that QEMU leaves out are null.
pub fn compare_info(ours: &Info, theirs: &Value) {
    let specific = &theirs["format-specific"]["data"];
    let version_3 = ours.version >= 3;
    let backing_format = theirs["backing-filename-format"].as_str();
    let pairs = [
        ("virtual-size", json!(ours.virtual_size), &theirs["virtual-size"]),
        // QEMU rounds it up to a sector.
        ("file length", json!(ours.file_size.next_multiple_of(512)), &theirs["children"][0]["info"]["virtual-size"]),
        ("cluster-size", json!(ours.cluster_size), &theirs["cluster-size"]),
        ("dirty-flag", json!(ours.dirty), &theirs["dirty-flag"]),
        ("compat", json!(ours.compat()), &specific["compat"]),
        ("compression-type", json!(ours.compression.name()), &specific["compression-type"]),
        ("refcount-bits", json!(ours.refcount_bits), &specific["refcount-bits"]),
        ("lazy-refcounts", json!(version_3.then_some(ours.lazy_refcounts)), &specific["lazy-refcounts"]),
        ("corrupt", json!(version_3.then_some(ours.corrupt)), &specific["corrupt"]),
        ("extended-l2", json!(version_3.then_some(ours.extended_l2)), &specific["extended-l2"]),
        ("data-file", json!(ours.data_file), &specific["data-file"]),
        ("data-file-raw", json!(ours.data_file.as_ref().map(|_| ours.data_file_raw)), &specific["data-file-raw"]),
        ("backing-filename", json!(ours.backing_file), &theirs["backing-filename"]),
        ("backing format", json!(ours.backing_format), &json!(backing_format)),
    ];
    for (field, ours, theirs) in &pairs {
        assert_eq!(ours, *theirs, "info: {field}");
    }
    let bitmaps: Vec<_> = ours.bitmaps.iter().map(bitmap_as_json).collect();
    assert_eq!(json!(bitmaps), specific.get("bitmaps").cloned().unwrap_or(json!([])), "info: bitmaps");
}

fn bitmap_as_json(bitmap: &BitmapInfo) -> Value {
    let flags = [(bitmap.in_use, "in-use"), (bitmap.auto, "auto")];
    let flags: Vec<_> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
    json!({ "name": bitmap.name, "granularity": bitmap.granularity, "flags": flags })
}

pub fn compare_snapshot_lists(ours: &[Snapshot], theirs: &Value) {
    let none = Vec::new();
    let theirs = theirs.as_array().unwrap_or(&none);
    let ours: Vec<_> = ours.iter().map(snapshot_as_json).collect();
    assert_eq!(&ours, theirs, "info: snapshots");
}

fn snapshot_as_json(snapshot: &Snapshot) -> Value {
    let mut object = json!({
        "id": snapshot.id,
        "name": snapshot.name,
        "vm-state-size": snapshot.vm_state_size,
        "date-sec": snapshot.date_sec,
        "date-nsec": snapshot.date_nsec,
        "vm-clock-sec": snapshot.vm_clock_nsec / 1_000_000_000,
        "vm-clock-nsec": snapshot.vm_clock_nsec % 1_000_000_000,
    });
    if let Some(icount) = snapshot.icount {
        object["icount"] = json!(icount);
    }
    object
}

/// The snapshot as it was `taken`, at its own size; QEMU shows it at the size of the disk as it is now, which has to
/// agree as far as both reach.
pub fn compare_snapshot(lab: &Lab, folder: &Folder, name: &str, snapshot: &str, taken: &[u8]) {
    let view = folder.open(name).open_snapshot(snapshot).unwrap();
    assert_eq!(view.size(), taken.len() as u64, "the snapshot's own size");
    compare_contents(&view, taken);
    compare_slow_contents(&folder.open_slowly(name).open_snapshot(snapshot).unwrap(), taken);
    let by_qemu = lab.snapshot_contents(name, snapshot);
    let common = by_qemu.len().min(taken.len());
    assert_same(&taken[..common], &by_qemu[..common], "what QEMU shows of the snapshot");
}
