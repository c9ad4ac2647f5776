//! Whole images: the input is the file, its own data file, and its own backing file a few times over.

use std::convert::Infallible;
use std::rc::Rc;

use qcow2_web::{
    BackingFile, BackingFormat, BackingRequest, BackingResolver, Error, Image, OpenOptions, RawHeader, Supply, inspect,
};

use crate::check::{check_error, check_location, check_map, check_read};
use crate::limits::{ready, within_memory};
use crate::model::{Disk, Layer};
use crate::storage::{Bytes, Counted};

type File = Rc<Counted<Vec<u8>>>;

const LEVELS: u32 = 3;
const DATA_FILE: u64 = 1 << 2;
const READ: u64 = 64 << 10;
const SNAPSHOTS: usize = 3;
/// Compressed groups, unpacked clusters of the engine and of the model, and what the input is expanded to.
const MEMORY: usize = 48 << 20;
const EXPANSION: usize = 32;

/// Opens the input as an image, with the smallest caches and with the default ones.
pub fn image(input: &[u8]) {
    let file = Rc::new(Counted::new(input.to_vec()));
    let Ok(inspection) = ready(inspect(&file));
    let Some(header) = inspection.header.filter(|_| inspection.problems.is_empty()) else {
        // The target `header` has these.
        return;
    };
    within_memory(MEMORY + EXPANSION * input.len(), || {
        for caches in [0, 4 << 20] {
            let (opened, cost) = file.count(|| open(&file, &header, caches));
            let snapshots = inspection.snapshots.len() as u64;
            assert!(cost.requests <= 5 * u64::from(LEVELS + 1) + snapshots + input.len() as u64 / 4096, "{cost:?}");
            match opened {
                Ok(image) => explore(&image, &file, &header),
                Err(error) => check_error(&error),
            }
        }
    });
}

fn open(file: &File, header: &RawHeader, caches: usize) -> Result<Image<File>, Error<Infallible>> {
    let options = OpenOptions::new().table_cache(caches).cluster_cache(caches);
    let data_file = (header.incompatible_features & DATA_FILE != 0).then(|| file.clone());
    let options = match &data_file {
        Some(file) => options.data_file(file.clone()),
        None => options,
    };
    ready(Image::open(file.clone(), options.backing(Itself { file: file.clone(), data_file })))
}

/// Supplies the file itself, a few levels deep.
struct Itself {
    file: File,
    data_file: Option<File>,
}

impl BackingResolver<File> for Itself {
    async fn resolve(&mut self, request: BackingRequest<'_>) -> Result<Supply<File>, Infallible> {
        if request.depth > LEVELS {
            return Ok(Supply::Absent);
        }
        // The last one is a raw file, whatever it holds; a data file is only for qcow2.
        let raw = request.depth == LEVELS || request.format == Some("raw");
        let data_file = self.data_file.clone().filter(|_| !raw);
        let format = raw.then_some(BackingFormat::Raw);
        Ok(Supply::File(BackingFile { storage: self.file.clone(), format, data_file }))
    }
}

fn explore(image: &Image<File>, file: &File, header: &RawHeader) {
    let bytes: Rc<dyn Bytes> = Rc::new(file.bytes.clone());
    let active = Disk::active(bytes.clone(), bytes.clone(), header);
    let info = match ready(image.info()) {
        Ok(info) => info,
        Err(error) => return check_error(&error),
    };
    let below = info.chain[1..].iter().map(|link| match link.format {
        BackingFormat::Qcow2 => Layer::Qcow2(active.clone()),
        _ => Layer::Raw(bytes.clone()),
    });
    let mut layers: Vec<_> = std::iter::once(Layer::Qcow2(active.clone())).chain(below).collect();
    check_disk(image, &layers);
    for snapshot in image.snapshots().iter().take(SNAPSHOTS) {
        let view = match image.open_snapshot(&snapshot.id) {
            Ok(view) => view,
            Err(error) => {
                check_error(&error);
                continue;
            }
        };
        // Another one may have the same id, and come first.
        let snapshots = image.snapshots();
        let Some(found) = snapshots.iter().find(|each| each.id == snapshot.id) else { continue };
        let disk = Disk {
            l1_offset: found.l1_table_offset,
            l1_entries: found.l1_entries.into(),
            size: view.size(),
            ..active.clone()
        };
        layers[0] = Layer::Qcow2(disk.clone());
        check_disk(&view, &layers);
        check_vm_state(&view, disk);
    }
}

fn check_disk(image: &Image<File>, layers: &[Layer]) {
    let size = image.size();
    assert_eq!(size, layers[0].size());
    for offset in [0, size / 2 / 512 * 512, size.saturating_sub(4 * READ)] {
        check_map(image, layers, offset, size - offset);
        for offset in [offset, offset.saturating_add(1000)] {
            if offset < size {
                check_location(image, layers, offset);
            }
            let length = size.saturating_sub(offset).min(READ) as usize;
            check_read(image, layers, offset.min(size), length);
            check_read(image, layers, offset.min(size), length / 3);
        }
    }
    assert!(ready(image.read_at(size, &mut [0])).is_err());
    assert!(ready(image.locate(size)).is_err());
}

fn check_vm_state(view: &Image<File>, disk: Disk) {
    let entry_size = if disk.header.incompatible_features & 1 << 4 != 0 { 16 } else { 8 };
    let coverage = disk.cluster_size() * (disk.cluster_size() / entry_size);
    let start = disk.size.div_ceil(coverage) * coverage;
    let length = view.vm_state_size().min(READ) as usize;
    let Some(_) = start.checked_add(length as u64) else { return };
    let layers = [Layer::Qcow2(Disk { size: u64::MAX, ..disk })];
    let mut buf = vec![0; length];
    let expected = crate::model::read(&layers, start, length);
    match (ready(view.read_vm_state(0, &mut buf)), expected) {
        (Ok(()), Some(expected)) => assert!(buf == expected, "the VM state is not what it should be"),
        (Err(error), None) => check_error(&error),
        (result, expected) => {
            panic!("the VM state: {result:?}, but {:?} bytes expected", expected.map(|bytes| bytes.len()))
        }
    }
}
