//! External data files: the guest's data is in another file.

use qcow2_web::{BackingFile, Error, Image, Missing};

use crate::common::builder::{Builder, COPIED, Cluster};
use crate::common::compare::{Folder, compare_with_qemu};
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::reading::{alone, assert_same, now, whole};
use crate::common::{KIB, MIB, index};

fn data_file(lab: &Lab) -> Folder {
    Folder::new(lab).with_data_file("disk.data")
}

#[test]
fn preallocated_ones() {
    let lab = Lab::new();
    for options in ["", ",data_file_raw=on", ",extended_l2=on"] {
        for preallocation in ["metadata", "falloc", "full"] {
            let options = format!("data_file=disk.data,preallocation={preallocation}{options}");
            lab.create("disk.qcow2", &options, MIB + 512);
            lab.io("disk.qcow2", &["write -q -P 1 100k 100k".into(), "write -q -z 300k 100k".into()]);
            compare_with_qemu(&lab, &data_file(&lab), "disk.qcow2");
        }
    }
}

#[test]
fn a_raw_one_is_the_disk() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "data_file=disk.data,data_file_raw=on", MIB);
    lab.io("disk.qcow2", &["write -q -P 1 100k 300k".into(), "write -q -z 200k 64k".into()]);
    let image = data_file(&lab).open("disk.qcow2");
    assert_same(&now(whole(&image)).unwrap(), &lab.bytes("disk.data"), "the data file");
}

#[test]
fn offset_zero_is_an_offset() {
    // What would be no allocation in a file of its own is the first cluster of a data file, if it is COPIED.
    let plan = Builder::new(4 * KIB, 64 * KIB).with_data_file("disk.data", false).with_data(0, 0x61);
    let built = plan.build();
    assert_eq!(built.u64_at(built.l2_entry(0)), COPIED);
    let lab = Lab::new();
    lab.put("disk.qcow2", &built.bytes);
    lab.put("disk.data", &[built.data, vec![0; 60 << 10]].concat());
    compare_with_qemu(&lab, &data_file(&lab), "disk.qcow2");
    assert_same(&lab.contents("disk.qcow2"), &plan.contents(&[]), "the plan");
}

#[test]
fn zero_clusters_hide_what_the_data_file_has() {
    let plan = Builder::new(4 * KIB, 64 * KIB)
        .with_data_file("disk.data", false)
        .with(0, Cluster::ZeroOver(vec![0x61; 4096]))
        .with(3, Cluster::ZeroOver(vec![0x62; 4096]))
        .with(5, Cluster::Zero);
    let lab = Lab::new();
    lab.put("disk.qcow2", &plan.build().bytes);
    lab.put("disk.data", &vec![0x63; index(64 * KIB)]);
    compare_with_qemu(&lab, &data_file(&lab), "disk.qcow2");
}

#[test]
fn one_that_is_too_short() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "data_file=disk.data,cluster_size=4k", MIB);
    lab.io("disk.qcow2", &["write -q -P 1 0 1M".into()]);
    for length in [0, 1000, 4096, 70_000] {
        std::fs::File::options().write(true).open(lab.path("disk.data")).unwrap().set_len(length).unwrap();
        let image = data_file(&lab).open("disk.qcow2");
        let expected = lab.try_contents("disk.qcow2");
        let ours = now(whole(&image)).unwrap();
        assert_same(&ours, &expected.unwrap(), &format!("a data file of {length} bytes"));
    }
}

#[test]
fn a_missing_one_is_named() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "data_file=disk.data", MIB);
    let error = now(Image::open(Disk::file(lab.path("disk.qcow2")), alone())).map(|_| ()).unwrap_err();
    let expected = Missing::DataFile { name: Some("disk.data".into()) };
    assert!(matches!(&error, Error::Missing(missing) if *missing == expected), "{error:?}");
}

#[test]
fn one_that_nobody_needs_is_refused() {
    let image = Builder::new(4 * KIB, 64 * KIB).build().bytes;
    let options = alone().data_file(Disk::of(vec![0; 10]));
    let error = now(Image::open(Disk::of(image), options)).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Misuse(_)), "{error:?}");
}

#[test]
fn a_backing_file_that_has_one() {
    let lab = Lab::new();
    lab.create("base.qcow2", "data_file=base.data,cluster_size=4k", MIB);
    lab.io("base.qcow2", &["write -q -P 1 100k 300k".into(), "write -q -z 200k 64k".into()]);
    lab.create_over("top.qcow2", "cluster_size=64k", ("base.qcow2", "qcow2"), 2 * MIB);
    lab.io("top.qcow2", &["write -q -P 2 150k 100".into()]);
    let disk = |name: &str| Disk::file(lab.path(name));
    let base = BackingFile { storage: disk("base.qcow2"), format: None, data_file: Some(disk("base.data")) };
    let image = now(Image::open(disk("top.qcow2"), alone().backing(vec![base]))).unwrap();
    assert_same(&now(whole(&image)).unwrap(), &lab.contents("top.qcow2"), "the disk");
    let error = now(Image::open(disk("top.qcow2"), alone().backing(vec![disk("base.qcow2").into()])));
    assert_eq!(error.map(|_| ()).unwrap_err().depth(), 1);
}
