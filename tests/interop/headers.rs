//! What the header says of an image: flags, extensions, names, bitmaps.

use qcow2_web::{FeatureKind, inspect};
use serde_json::json;

use crate::common::builder::{Builder, extension, field};
use crate::common::compare::{Folder, compare_with_qemu};
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::reading::{now, open};
use crate::common::{KIB, MIB, index};

fn with_incompatible(lab: &Lab, name: &str, bits: u64) {
    let mut bytes = lab.bytes(name);
    bytes[index(field::INCOMPATIBLE)..][..8].copy_from_slice(&bits.to_be_bytes());
    lab.put(name, &bytes);
}

#[test]
fn images_that_were_not_closed() {
    // QEMU leaves an image with lazy refcounts dirty when it is killed.
    let lab = Lab::new();
    lab.create("dirty.qcow2", "lazy_refcounts=on", MIB);
    lab.io_killed("dirty.qcow2", &["write -q -P 0x61 0 100k", "flush"]);
    let image = Folder::new(&lab).open("dirty.qcow2");
    let info = now(image.info()).unwrap();
    assert!(info.dirty && info.lazy_refcounts && !info.corrupt);
    compare_with_qemu(&lab, &Folder::new(&lab), "dirty.qcow2");
}

#[test]
fn images_that_are_marked_as_corrupt() {
    let lab = Lab::new();
    lab.create("corrupt.qcow2", "cluster_size=4k", MIB);
    lab.io("corrupt.qcow2", &["write -q -P 0x61 0 100k".into()]);
    with_incompatible(&lab, "corrupt.qcow2", 0b11);
    let info = now(Folder::new(&lab).open("corrupt.qcow2").info()).unwrap();
    assert!(info.corrupt && info.dirty);
    compare_with_qemu(&lab, &Folder::new(&lab), "corrupt.qcow2");
}

#[test]
fn every_width_of_reference_counts() {
    let lab = Lab::new();
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        lab.create("disk.qcow2", &format!("refcount_bits={bits},cluster_size=1k"), MIB);
        lab.io("disk.qcow2", &["write -q -P 0x61 100k 300k".into()]);
        compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    }
}

#[test]
fn features_are_called_by_their_names() {
    let lab = Lab::new();
    let options = "lazy_refcounts=on,extended_l2=on,compression_type=zstd,data_file=disk.data,data_file_raw=on";
    lab.create("disk.qcow2", options, MIB);
    let image = Folder::new(&lab).with_data_file("disk.data").open("disk.qcow2");
    let names: Vec<_> = now(image.info())
        .unwrap()
        .features
        .into_iter()
        .map(|feature| (feature.kind, feature.bit, feature.name.unwrap()))
        .collect();
    // By the names that QEMU writes into the image's own table.
    let expected = [
        (FeatureKind::Incompatible, 2, "external data file"),
        (FeatureKind::Incompatible, 3, "compression type"),
        (FeatureKind::Incompatible, 4, "extended L2 entries"),
        (FeatureKind::Compatible, 0, "lazy refcounts"),
        (FeatureKind::Autoclear, 1, "raw external data"),
    ];
    assert_eq!(names, expected.map(|(kind, bit, name)| (kind, bit, name.to_owned())));
}

#[test]
fn the_feature_table_that_qemu_writes() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "cluster_size=64k", MIB);
    let inspection = now(inspect(&Disk::file(lab.path("disk.qcow2")))).unwrap();
    let table = inspection.extensions.iter().find(|found| found.kind == extension::FEATURE_NAMES).unwrap();
    assert_eq!(table.data.len(), 8 * 48);
    assert!(inspection.problems.is_empty());
}

#[test]
fn names_of_every_length() {
    let lab = Lab::new();
    lab.put("b", &[0x77; 4096]);
    for length in [1, 2, 7, 8, 9, 200] {
        // "./././b" is the same file.
        let name = "./".repeat((length - 1) / 2) + "b";
        let plan = Builder::new(4 * KIB, 64 * KIB).backed_by(&name, Some("raw")).with_data(2, 0x22);
        lab.put("top.qcow2", &plan.build().bytes);
        compare_with_qemu(&lab, &Folder::new(&lab), "top.qcow2");
    }
}

#[test]
fn extensions_in_any_order_and_unknown_ones() {
    let lab = Lab::new();
    lab.put("base", &[0x77; 4096]);
    let plan = Builder::new(4 * KIB, 64 * KIB)
        .with_extension(0x1234_5678, *b"one")
        .with_extension(0x8765_4321, vec![0xab; 1000])
        .with_extension(extension::FEATURE_NAMES, [[0, 0].as_slice(), b"dirty bit", &[0; 37]].concat())
        .backed_by("base", Some("raw"));
    lab.put("top.qcow2", &plan.build().bytes);
    compare_with_qemu(&lab, &Folder::new(&lab), "top.qcow2");
    let info = now(Folder::new(&lab).open("top.qcow2").info()).unwrap();
    assert_eq!(info.unknown_extensions, [(0x1234_5678, 3), (0x8765_4321, 1000)]);
}

#[test]
fn bitmaps_as_qemu_lists_them() {
    let lab = Lab::new();
    for options in ["cluster_size=64k", "cluster_size=512"] {
        lab.create("disk.qcow2", options, 8 * MIB);
        lab.qemu_img(&["bitmap", "--add", "-g", "65536", "disk.qcow2", "daily"]);
        lab.qemu_img(&["bitmap", "--add", "--disable", "-g", "512", "disk.qcow2", "stopped"]);
        lab.qemu_img(&["bitmap", "--add", "-g", "2G", "disk.qcow2", &"n".repeat(1023)]);
        lab.io("disk.qcow2", &["write -q -P 0x61 1M 1M".into()]);
        compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
        assert_eq!(now(Folder::new(&lab).open("disk.qcow2").info()).unwrap().bitmaps.len(), 3);
    }
}

#[test]
fn bitmaps_that_were_not_saved() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "cluster_size=64k", 8 * MIB);
    lab.qemu_img(&["bitmap", "--add", "disk.qcow2", "daily"]);
    lab.io_killed("disk.qcow2", &["write -q -P 0x61 1M 1M", "flush"]);
    compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    assert!(now(Folder::new(&lab).open("disk.qcow2").info()).unwrap().bitmaps[0].in_use);
}

#[test]
fn amended_images() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "compat=0.10", MIB);
    lab.io("disk.qcow2", &["write -q -P 0x61 0 100k".into()]);
    lab.snapshot("disk.qcow2", "old");
    compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    lab.qemu_img(&["amend", "-o", "compat=1.1,lazy_refcounts=on", "disk.qcow2"]);
    compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    lab.io("disk.qcow2", &["write -q -z 0 64k".into()]);
    lab.qemu_img(&["amend", "-o", "compat=0.10", "disk.qcow2"]);
    compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
}

#[test]
fn the_chain_as_qemu_tells_it() {
    let lab = Lab::new();
    lab.put("base.raw", &[0x77; 5000]);
    lab.create_over("middle.qcow2", "cluster_size=4k", ("base.raw", "raw"), MIB);
    lab.create_over("top.qcow2", "cluster_size=64k", ("middle.qcow2", "qcow2"), 2 * MIB);
    let said = lab.qemu_img(&["info", "--backing-chain", "--output=json", "top.qcow2"]);
    let theirs: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    let ours = now(Folder::new(&lab).open("top.qcow2").info()).unwrap().chain;
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(json!(ours.format.name()), theirs["format"]);
        // QEMU counts in whole sectors, also where a raw file does not end with one.
        assert_eq!(json!(ours.virtual_size.next_multiple_of(512)), theirs["virtual-size"]);
    }
}

#[test]
fn an_image_without_any_trouble_has_no_problems() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "compression_type=zstd,extended_l2=on", MIB);
    lab.snapshot("disk.qcow2", "one");
    let disk = Disk::file(lab.path("disk.qcow2"));
    let inspection = now(inspect(&disk)).unwrap();
    assert!(inspection.problems.is_empty(), "{:?}", inspection.problems);
    assert_eq!(*inspection.snapshots, *open(&disk).unwrap().snapshots());
}
