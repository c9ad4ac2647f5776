//! An image that is opened for writing stays as it is until the first change, and that one marks the bitmaps as in use.

use std::ops::ControlFlow;

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{Image, OpenOptions, Progress, ResizeOptions, SnapshotOptions, ZeroMode};

use crate::common::MIB;
use crate::common::lab::Lab;
use crate::common::reading::{now, whole};

fn go_on(_progress: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// An image with a bitmap by QEMU, two snapshots, and data.
fn image() -> Vec<u8> {
    let lab = Lab::new();
    lab.create("disk", "compat=1.1", MIB);
    lab.io("disk", &["write -q -P 7 0 200k".into()]);
    lab.snapshot("disk", "first");
    lab.qemu_img(&["bitmap", "--add", "disk", "day"]);
    lab.bytes("disk")
}

fn open(storage: &MemoryStorage) -> Image<&MemoryStorage> {
    now(Image::open_writable(storage, OpenOptions::new())).unwrap()
}

/// Whether the file has its bitmap, and says that it is in use.
fn is_marked(storage: MemoryStorage) -> bool {
    let bytes = storage.into_bytes();
    let image = now(Image::open(MemoryStorage::from(bytes), OpenOptions::new())).unwrap();
    let bitmaps = now(image.info()).unwrap().bitmaps;
    assert_eq!(bitmaps.len(), 1);
    bitmaps[0].in_use
}

/// A change of an image.
type Change<'a> = &'a dyn Fn(&Image<&MemoryStorage>);

#[test]
fn without_a_change_nothing_is_written() {
    let before = image();
    let storage = MemoryStorage::from(before.clone());
    let image = open(&storage);
    now(whole(&image)).unwrap();
    assert_eq!(now(image.info()).unwrap().bitmaps.len(), 1);
    // What is refused, or changes nothing, is no change.
    assert!(now(image.resize(512, &ResizeOptions::new())).is_err());
    assert!(now(image.delete_snapshot("none", go_on)).is_err());
    now(image.resize(MIB, &ResizeOptions::new())).unwrap();
    now(image.flush()).unwrap();
    now(image.close()).unwrap();
    drop(image);
    assert!(storage.into_bytes() == before);
}

#[test]
fn each_change_marks_them_first() {
    let before = image();
    let marked_after = |change: &dyn Fn(&Image<&MemoryStorage>)| {
        let storage = MemoryStorage::from(before.clone());
        let image = open(&storage);
        change(&image);
        // In the file at once, for a crash may come before a flush.
        drop(image);
        is_marked(storage)
    };
    let grow = ResizeOptions::new();
    let shrink = ResizeOptions::new().shrink(true);
    let changes: [(&str, Change); 11] = [
        ("a write in place", &|image| now(image.write_at(0, &[1; 512])).unwrap()),
        ("a write that allocates", &|image| now(image.write_at(900 << 10, &[1; 512])).unwrap()),
        ("zeroes", &|image| now(image.write_zeroes(0, 1 << 16, ZeroMode::KeepAllocated)).unwrap()),
        ("a discard", &|image| now(image.discard(0, 1 << 16)).unwrap()),
        ("a compressed write", &|image| now(image.write_compressed(0, &[1; 1 << 16])).unwrap()),
        ("a larger disk", &|image| now(image.resize(2 * MIB, &grow)).unwrap()),
        ("a smaller disk", &|image| now(image.resize(MIB / 2, &shrink)).unwrap()),
        ("VM state", &|image| now(image.write_vm_state(0, &[1; 512])).unwrap()),
        ("a snapshot", &|image| {
            now(image.create_snapshot(&SnapshotOptions::new("second"), go_on)).map(drop).unwrap();
        }),
        ("a snapshot that is applied", &|image| now(image.apply_snapshot("first", go_on)).unwrap()),
        ("a snapshot that is deleted", &|image| now(image.delete_snapshot("first", go_on)).unwrap()),
    ];
    for (what, change) in changes {
        assert!(marked_after(change), "{what}");
    }
}

#[test]
fn closing_takes_the_marks_back() {
    let storage = MemoryStorage::from(image());
    let image = open(&storage);
    now(image.write_at(0, &[1; 512])).unwrap();
    now(image.close()).unwrap();
    drop(image);
    assert!(!is_marked(storage));
}
