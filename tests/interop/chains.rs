//! Backing chains: deep ones, odd ones, and what the caller supplies for them.

use qcow2_web::{BackingFile, BackingFormat, Error, Image, Missing, WithoutBacking};

use crate::common::builder::Builder;
use crate::common::compare::{Folder, compare_with_qemu, row};
use crate::common::disk::Disk;
use crate::common::executor::block_on;
use crate::common::lab::{Lab, Row};
use crate::common::reading::{alone, assert_same, extents, frugal, now, whole};
use crate::common::{KIB, MIB, index};

#[test]
fn three_hundred_files_deep() {
    const DEPTH: u64 = 300;
    let lab = Lab::new();
    // Each file has one cluster of its own, and the format is recorded in every other one.
    for number in 0..DEPTH {
        let mut plan = Builder::new(512, DEPTH * 512).with_data(number, (number % 250 + 1) as u8);
        if number > 0 {
            let below = format!("{}.qcow2", number - 1);
            plan = plan.backed_by(&below, (number % 2 == 0).then_some("qcow2"));
        }
        lab.put(&format!("{number}.qcow2"), &plan.build().bytes);
    }
    compare_with_qemu(&lab, &Folder::new(&lab), "299.qcow2");
}

#[test]
fn raw_files_with_holes() {
    // QEMU asks the file system where a raw file has holes, and a storage can't say: to us it is all data.
    let lab = Lab::new();
    std::fs::File::create(lab.path("base.raw")).unwrap().set_len(MIB).unwrap();
    lab.create_over("disk.qcow2", "cluster_size=64k", ("base.raw", "raw"), 2 * MIB);
    lab.io("disk.qcow2", &["write -q -P 1 128k 64k".into()]);
    let folder = Folder::new(&lab);
    let ours: Vec<Row> = now(extents(&folder.open("disk.qcow2"))).unwrap().iter().map(row).collect();
    let theirs: Vec<Row> = lab.map("disk.qcow2").into_iter().map(|row| as_data_below(&row)).collect();
    assert_eq!(ours, theirs);
    assert_same(&now(whole(&folder.open("disk.qcow2"))).unwrap(), &lab.contents("disk.qcow2"), "the disk");
}

/// QEMU takes the name of a way to get at a file for a format: the file's bytes as they are, whatever they look like.
#[test]
fn ways_to_get_at_a_file_are_raw() {
    let lab = Lab::new();
    lab.put("base", &Builder::new(4 * KIB, 64 * KIB).with_data(0, 7).build().bytes);
    for format in ["file", "raw"] {
        lab.create_over("disk.qcow2", "compat=1.1", ("base", format), 64 * KIB);
        compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
        assert_eq!(lab.contents("disk.qcow2")[..4], *b"QFI\xfb");
    }
    // Only in an image that names a device.
    let plan = Builder::new(4 * KIB, 64 * KIB).backed_by("base", Some("host_device"));
    let disk = Disk::of(plan.build().bytes);
    let base = vec![BackingFile::from(Disk::of(lab.bytes("base")))];
    let image = now(Image::open(disk, alone().backing(base))).unwrap();
    assert_eq!(now(whole(&image)).unwrap()[..4], *b"QFI\xfb");
}

/// What is a hole in the raw file, as data of it.
fn as_data_below(row: &Row) -> Row {
    let hole = row.depth == 1 && row.offset.is_some();
    Row { zero: row.zero && !hole, data: row.data || hole, ..row.clone() }
}

#[test]
fn raw_files_of_odd_lengths() {
    let lab = Lab::new();
    for length in [0, 1, 511, 513, 4095, 65_537, 2_000_001] {
        lab.put("base.raw", &vec![0x77; length]);
        lab.create_over("disk.qcow2", "cluster_size=4k", ("base.raw", "raw"), MIB);
        lab.io("disk.qcow2", &["write -q -P 1 8k 100".into()]);
        let image = Folder::new(&lab).open("disk.qcow2");
        assert_same(&now(whole(&image)).unwrap(), &lab.contents("disk.qcow2"), &format!("over {length} bytes"));
    }
}

#[test]
fn a_short_file_hides_the_longer_one_below() {
    let lab = Lab::new();
    lab.put("base.raw", &vec![0x77; index(MIB)]);
    lab.create_over("short.qcow2", "cluster_size=4k", ("base.raw", "raw"), 100 * KIB + 512);
    lab.create_over("disk.qcow2", "cluster_size=64k", ("short.qcow2", "qcow2"), MIB);
    compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
}

#[test]
fn formats_that_are_not_recorded_are_probed() {
    let lab = Lab::new();
    lab.put("base.raw", &vec![0x77; index(MIB)]);
    lab.put("middle.qcow2", &Builder::new(4 * KIB, MIB).backed_by("base.raw", None).with_data(3, 3).build().bytes);
    lab.put("top.qcow2", &Builder::new(4 * KIB, MIB).backed_by("middle.qcow2", None).with_data(5, 5).build().bytes);
    compare_with_qemu(&lab, &Folder::new(&lab), "top.qcow2");
}

#[test]
fn files_are_taken_by_position() {
    let base = Disk::slow(vec![0x77; index(64 * KIB)]);
    let plan = |name: &str, format: &str| Builder::new(4 * KIB, 64 * KIB).backed_by(name, Some(format));
    let middle = Disk::slow(plan("a name", "raw").with_data(1, 1).build().bytes);
    let top = Disk::slow(plan("another", "qcow2").with_data(2, 2).build().bytes);
    let options = frugal(alone()).backing(vec![BackingFile::from(middle), BackingFile::from(base)]);
    let image = block_on(Image::open(top, options)).unwrap();
    let disk = block_on(whole(&image)).unwrap();
    let cluster = |number: usize| disk[number * 4096];
    assert_eq!([cluster(0), cluster(1), cluster(2), cluster(3)], [0x77, 1, 2, 0x77]);
}

#[test]
fn a_missing_file_is_named() {
    let top = Builder::new(4 * KIB, 64 * KIB).backed_by("a name", Some("qcow2")).build().bytes;
    let middle = Builder::new(4 * KIB, 64 * KIB).backed_by("a deeper name", Some("raw")).build().bytes;
    let open = |files: Vec<Vec<u8>>| {
        let files: Vec<_> = files.into_iter().map(|bytes| BackingFile::from(Disk::of(bytes))).collect();
        now(Image::open(Disk::of(top.clone()), alone().backing(files))).map(|_| ()).unwrap_err()
    };
    let missing = |name: &str, format: &str| Missing::BackingFile { name: name.into(), format: Some(format.into()) };
    let error = open(vec![]);
    assert!(matches!(&error, Error::Missing(found) if *found == missing("a name", "qcow2")), "{error:?}");
    let error = open(vec![middle]);
    let deeper = missing("a deeper name", "raw");
    // The file that lacks its backing file is at depth 1.
    let Error::InBacking { depth: 1, source } = &error else { panic!("{error:?}") };
    assert!(matches!(&**source, Error::Missing(found) if *found == deeper), "{error:?}");
}

#[test]
fn without_its_backing_file_as_qemu_does_it() {
    let lab = Lab::new();
    lab.put("base.raw", &vec![0x77; index(MIB)]);
    lab.create_over("disk.qcow2", "cluster_size=4k", ("base.raw", "raw"), MIB);
    lab.io("disk.qcow2", &["write -q -P 1 8k 8k".into(), "write -q -z 64k 8k".into()]);
    let image = now(Image::open(Disk::file(lab.path("disk.qcow2")), alone().backing(WithoutBacking))).unwrap();
    let options = r#"json:{"driver":"qcow2","file":{"driver":"file","filename":"disk.qcow2"},"backing":null}"#;
    lab.qemu_img(&["convert", "-O", "raw", options, "alone.raw"]);
    assert_same(&now(whole(&image)).unwrap(), &lab.bytes("alone.raw"), "without its backing file");
}

#[test]
fn a_raw_file_that_the_caller_names_as_such() {
    let inner = Builder::new(512, 4 * KIB).with_data(0, 9).build().bytes;
    let top = Builder::new(4 * KIB, 8 * KIB).backed_by("inner", Some("qcow2")).build().bytes;
    let base = BackingFile { storage: Disk::of(inner.clone()), format: Some(BackingFormat::Raw), data_file: None };
    let image = now(Image::open(Disk::of(top), alone().backing(vec![base]))).unwrap();
    let disk = now(whole(&image)).unwrap();
    let common = disk.len().min(inner.len());
    assert_same(&disk[..common], &inner[..common], "the image as plain bytes");
}
