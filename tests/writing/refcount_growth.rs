//! Growing the refcount structure: small clusters and wide refcounts need tables that take many clusters.

use std::ops::ControlFlow;

use qcow2_web::storage::FileStorage;
use qcow2_web::{
    CreateOptions, Image, OpenOptions, Preallocation, Progress, Repair, RepairOptions, SnapshotOptions, repair,
};

use crate::common::lab::Lab;
use crate::common::reading::{now, range};
use crate::common::{GIB, MIB, index};

fn storage(lab: &Lab) -> FileStorage {
    FileStorage::open_writable(lab.path("disk.qcow2")).unwrap()
}

fn open(lab: &Lab) -> Image<FileStorage> {
    now(Image::open_writable(storage(lab), OpenOptions::new())).unwrap()
}

fn create(lab: &Lab, options: &CreateOptions) {
    now(options.create(&storage(lab), None)).unwrap();
}

fn go_on(_progress: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// One cluster of the table counts 64 blocks here, and one block 64 clusters: the table becomes larger than what a block
/// counts, again and again.
#[test]
fn writes_and_flushes_outgrow_what_one_block_counts() {
    let lab = Lab::new();
    create(&lab, &CreateOptions::new(8 * GIB).cluster_size(512).refcount_bits(64));
    let image = open(&lab);
    let piece = vec![7; index(8 * MIB)];
    for number in 0..16 {
        now(image.write_at(number * 8 * MIB, &piece)).unwrap();
        now(image.flush()).unwrap_or_else(|error| panic!("flush {number}: {error}"));
    }
    now(image.close()).unwrap();
    drop(image);
    lab.check("disk.qcow2");
    let image = open(&lab);
    assert!(now(range(&image, 15 * 8 * MIB, 8 * MIB)).unwrap() == piece);
}

#[test]
fn the_metadata_of_a_large_disk_are_allocated_at_once() {
    for (cluster_size, bits, size) in [(512, 64, 256 * MIB), (512, 16, 2 * GIB), (1024, 64, 512 * MIB)] {
        let lab = Lab::new();
        let options = CreateOptions::new(size).cluster_size(cluster_size).refcount_bits(bits);
        create(&lab, &options.preallocation(Preallocation::Metadata));
        lab.check("disk.qcow2");
    }
}

/// The tables as a whole change by the same code.
#[test]
fn snapshots_outgrow_what_one_block_counts() {
    let lab = Lab::new();
    let options = CreateOptions::new(64 * MIB).cluster_size(512).refcount_bits(64);
    create(&lab, &options.preallocation(Preallocation::Metadata));
    let image = open(&lab);
    for name in ["a", "b"] {
        now(image.create_snapshot(&SnapshotOptions::new(name), go_on)).unwrap();
        now(image.write_at(0, &vec![7; index(8 * MIB)])).unwrap();
        now(image.flush()).unwrap();
    }
    now(image.delete_snapshot("a", go_on)).unwrap();
    now(image.close()).unwrap();
    drop(image);
    lab.check("disk.qcow2");
}

/// A structure that is counted anew is of the same size.
#[test]
fn a_repair_rebuilds_a_table_larger_than_what_one_block_counts() {
    let lab = Lab::new();
    let options = CreateOptions::new(64 * MIB).cluster_size(512).refcount_bits(64);
    create(&lab, &options.preallocation(Preallocation::Metadata));
    let mut bytes = lab.bytes("disk.qcow2");
    bytes[56..60].fill(0);
    lab.put("disk.qcow2", &bytes);
    now(repair(&storage(&lab), RepairOptions::new(Repair::All))).unwrap();
    lab.check("disk.qcow2");
}
