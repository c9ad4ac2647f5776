//! Growing the refcount structure: small clusters and wide refcounts need tables that take many clusters.

use std::ops::ControlFlow;

use qcow2_web::storage::FileStorage;
use qcow2_web::{
    CreateOptions, Image, OpenOptions, Preallocation, Progress, Repair, RepairOptions, SnapshotOptions, Storage,
    StorageMut, repair,
};

use crate::common::builder::{Builder, field};
use crate::common::lab::Lab;
use crate::common::reading::{now, range};
use crate::common::{GIB, KIB, MIB, index};
use crate::writing::far::Sparse;

fn storage(lab: &Lab) -> FileStorage {
    FileStorage::open_writable(lab.path("disk.qcow2")).unwrap()
}

fn open(lab: &Lab) -> Image<FileStorage> {
    now(Image::open_writable(storage(lab), OpenOptions::new())).unwrap()
}

fn create(lab: &Lab, options: &CreateOptions) {
    now(options.write_to(&storage(lab), None)).unwrap();
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

/// The longest refcount table that the format allows.
const MAX_ENTRIES: u64 = MIB;

/// A file with a table of so many entries. All of them have a block but the last ones, and everything that has one is in use.
/// Clusters have 512 bytes and counts 64 bits: an entry is about 32 KiB, and the largest file has 32 GiB.
fn in_use_up_to(blocks: u64, entries: u64) -> Sparse {
    let (table, first_block) = (MIB, 16 * MIB);
    let image = Builder::new(512, MIB).build().set_u32(field::REFCOUNT_ORDER, 6);
    let image = image.set_u64(field::REFCOUNT_TABLE_OFFSET, table);
    let image = image.set_u32(field::REFCOUNT_TABLE_CLUSTERS, (entries * 8 / 512) as u32);
    let counts = first_block..first_block + blocks * 512;
    let sparse = Sparse::new(blocks * 32 * KIB, counts, [0, 0, 0, 0, 0, 0, 0, 1]);
    let places: Vec<u8> = (0..blocks).flat_map(|block| (first_block + block * 512).to_be_bytes()).collect();
    now(sparse.write_at(0, &image.bytes)).unwrap();
    now(sparse.write_at(table, &places)).unwrap();
    sparse
}

fn table_clusters(file: &Sparse) -> u32 {
    let mut field = [0; 4];
    now(file.read_at(field::REFCOUNT_TABLE_CLUSTERS, &mut field)).unwrap();
    u32::from_be_bytes(field)
}

#[test]
fn the_table_grows_to_the_longest_that_there_is() {
    let entries = MAX_ENTRIES * 3 / 4;
    let file = in_use_up_to(entries, entries);
    let image = now(Image::open_writable(&file, OpenOptions::new())).unwrap();
    now(image.write_at(0, &[7; 512])).unwrap();
    now(image.close()).unwrap();
    assert_eq!(u64::from(table_clusters(&file)) * 64, MAX_ENTRIES);
    let image = now(Image::open_writable(&file, OpenOptions::new())).unwrap();
    now(image.write_at(512, &[8; 512])).unwrap();
    now(image.close()).unwrap();
    assert_eq!(now(range(&image, 0, 1024)).unwrap(), [[7; 512], [8; 512]].concat());
}

/// The write fails for which there is no room, and nothing that was written before is lost.
#[test]
fn at_the_end_of_the_longest_table_only_the_write_fails() {
    for (blocks, entries) in [(MAX_ENTRIES - 1, MAX_ENTRIES), (MAX_ENTRIES - 70, MAX_ENTRIES - 64)] {
        let file = in_use_up_to(blocks, entries);
        let image = now(Image::open_writable(&file, OpenOptions::new())).unwrap();
        let mut written = 0;
        let error = loop {
            match now(image.write_at(written, &[7; 512])) {
                Ok(()) => written += 512,
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), "IMAGE_FULL");
        assert!(written > 40 * 512, "{written}");
        now(image.close()).unwrap();
        let image = now(Image::open(&file, OpenOptions::new())).unwrap();
        assert!(now(range(&image, 0, written)).unwrap().iter().all(|byte| *byte == 7));
    }
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
