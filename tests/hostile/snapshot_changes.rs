//! Images whose snapshots lie, being changed: whatever is asked of them, the active disk stays what it was, and what was
//! sound stays so.

use std::ops::ControlFlow;

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{CheckOptions, Error, Image, OpenOptions, ResizeOptions, SnapshotOptions, check};

use crate::common::builder::{Builder, Built, Cluster, SnapshotPlan};
use crate::common::reading::{now, whole};
use crate::common::{GIB, KIB};

const CLUSTER: u64 = 4 * KIB;
const SIZE: u64 = 64 * KIB;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COPIED: u64 = 1 << 63;

type Failed = Error<qcow2_web::storage::PastEnd>;

fn sound() -> Built {
    let snapshot = |id, name, byte| SnapshotPlan::new(id, name, SIZE).with(2, Cluster::Data(vec![byte; 4096]));
    Builder::new(CLUSTER, SIZE)
        .with_data(0, 0x11)
        .with_data(5, 0x22)
        .with_snapshot(snapshot("1", "first", 0x77))
        .with_snapshot(snapshot("2", "second", 0x78))
        .build()
}

/// Where the second snapshot's L2 table is.
fn second_l2(image: &Built) -> u64 {
    image.u64_at(image.snapshot_l1[1]) & OFFSET
}

/// Images whose second snapshot is broken, each in one way.
fn broken() -> Vec<(String, Built)> {
    let image = sound();
    let (entry, l1, l2) = (image.snapshot_entries[1], image.snapshot_l1[1], second_l2(&image));
    let refcount_table = image.u64_at(48);
    let places = [
        ("nowhere", 0),
        ("between clusters", 512),
        ("past the end", GIB),
        ("past everything", OFFSET),
        ("the header's neighbour", CLUSTER),
        ("the active L1 table", image.l1),
        ("the active L2 table", image.l2[&0]),
        ("the disk's data", image.hosts[&0]),
        ("the refcount table", refcount_table),
        ("a refcount block", image.u64_at(refcount_table)),
        ("the snapshot table", image.snapshot_table),
        ("the first snapshot's L1 table", image.snapshot_l1[0]),
        ("itself", l1),
    ];
    let mut all = Vec::new();
    for (what, place) in places {
        all.push((format!("its L1 table is {what}"), image.clone().set_u64(entry, place)));
        for flag in [0, COPIED] {
            all.push((format!("its L2 table is {what}, {flag:#x}"), image.clone().set_u64(l1, place | flag)));
            all.push((format!("its data is {what}, {flag:#x}"), image.clone().set_u64(l2 + 16, place | flag)));
        }
    }
    for count in [0, 2, 512, 513, 4 << 20, (4 << 20) + 1, u32::MAX] {
        all.push((format!("its L1 table has {count} entries"), image.clone().set_u32(entry + 8, count)));
    }
    // Behind the fixed part of the entry: the state's length, and the disk's.
    for (what, at) in [("state", entry + 40), ("disk", entry + 48)] {
        for length in [0, 511, 1 << 40, u64::MAX] {
            all.push((format!("its {what} has {length} bytes"), image.clone().set_u64(at, length)));
        }
    }
    for (what, place) in [("L1 table", l1), ("L2 table", l2), ("data", image.u64_at(l2 + 16) & OFFSET)] {
        // Counted 0 times it is free, to us as to QEMU: anybody may take it.
        for count in [2, u16::MAX] {
            let block = image.u64_at(refcount_table);
            let broken = image.clone().set_u16(block + 2 * (place / CLUSTER), count);
            all.push((format!("its {what} is counted {count} times"), broken));
        }
    }
    all
}

/// Something that is done to an image, and whether it changes what its disk shows.
type Change = (&'static str, bool, fn(&Image<&MemoryStorage>) -> Result<(), Failed>);

const CHANGES: [Change; 8] = [
    ("a snapshot", false, |image| now(image.create_snapshot(&SnapshotOptions::new("third"), |_| GO_ON)).map(drop)),
    ("going back to the first", true, |image| now(image.apply_snapshot("first", |_| GO_ON))),
    ("going back to the second", true, |image| now(image.apply_snapshot("second", |_| GO_ON))),
    ("the first deleted", false, |image| now(image.delete_snapshot("first", |_| GO_ON))),
    ("the second deleted", false, |image| now(image.delete_snapshot("second", |_| GO_ON))),
    ("the second renamed", false, |image| now(image.rename_snapshot("second", "last"))),
    ("a larger disk", true, |image| now(image.resize(16 * 1024 * KIB, &ResizeOptions::new()))),
    ("a smaller disk", true, |image| now(image.resize(CLUSTER, &ResizeOptions::new().shrink(true)))),
];
const GO_ON: ControlFlow<()> = ControlFlow::Continue(());

fn disk_of(storage: &MemoryStorage) -> Vec<u8> {
    let image = now(Image::open(storage, OpenOptions::new())).expect("the image opens, whatever its snapshots are");
    now(whole(&image)).expect("the disk can be read")
}

fn corruptions(storage: &MemoryStorage) -> u64 {
    now(check(storage, CheckOptions::new())).expect("it can be checked").corruptions
}

#[test]
fn what_is_sound_stays_so() {
    for (what, change, run) in CHANGES {
        let storage = MemoryStorage::from(sound().bytes);
        let image = now(Image::open_writable(&storage, OpenOptions::new())).unwrap();
        run(&image).unwrap_or_else(|error| panic!("{what}: {error}"));
        now(image.close()).unwrap();
        assert_eq!(corruptions(&storage), 0, "{what}");
        assert!(change || disk_of(&storage) == sound().contents(&[]), "{what}");
    }
}

#[test]
fn the_disk_is_never_worse() {
    let mut outcomes = std::collections::BTreeMap::new();
    for (damage, broken) in broken() {
        let before = corruptions(&MemoryStorage::from(broken.bytes.clone()));
        for (what, changes_disk, run) in CHANGES {
            let storage = MemoryStorage::from(broken.bytes.clone());
            let Ok(image) = now(Image::open_writable(&storage, OpenOptions::new())) else { continue };
            let outcome = run(&image);
            let context = || format!("{damage}; {what}: {outcome:?}");
            *outcomes.entry(outcome.as_ref().map_or_else(Error::code, |()| "done")).or_insert(0) += 1;
            drop(image);
            assert!(corruptions(&storage) <= before, "{}", context());
            if outcome.is_err() || !changes_disk {
                assert!(disk_of(&storage) == sound().contents(&[]), "{}", context());
            }
        }
    }
    println!("{outcomes:?}");
    assert!(outcomes.len() > 3 && !outcomes.contains_key("STORAGE"), "{outcomes:?}");
}
