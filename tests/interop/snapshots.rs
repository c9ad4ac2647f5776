//! Internal snapshots: as QEMU lists them, and each at its own size.

use crate::common::builder::{Builder, Cluster, SnapshotPlan, extra_data};
use crate::common::compare::{Folder, compare_contents_with_qemu, compare_snapshot, compare_with_qemu};
use crate::common::lab::Lab;
use crate::common::reading::{assert_same, extents, now, whole};
use crate::common::{KIB, MIB};

#[test]
fn a_disk_that_grew_and_shrank_between_its_snapshots() {
    let lab = Lab::new();
    for options in ["cluster_size=4k", "cluster_size=64k", "cluster_size=64k,extended_l2=on", "cluster_size=512"] {
        lab.create("disk.qcow2", options, MIB);
        let mut taken = Vec::new();
        for (number, kib) in [1024, 3000, 700, 700, 2500, 50].into_iter().enumerate() {
            lab.resize("disk.qcow2", kib * KIB);
            let offset = number as u64 * 5 * KIB;
            lab.io("disk.qcow2", &[format!("write -q -P {} {offset} 20k", number + 1)]);
            let name = format!("step {number}");
            taken.push((name.clone(), lab.contents("disk.qcow2")));
            lab.snapshot("disk.qcow2", &name);
        }
        let folder = Folder::new(&lab);
        compare_with_qemu(&lab, &folder, "disk.qcow2");
        for (name, contents) in &taken {
            compare_snapshot(&lab, &folder, "disk.qcow2", name, contents);
        }
    }
}

#[test]
fn applied_and_deleted_snapshots() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "cluster_size=4k", MIB);
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        lab.io("disk.qcow2", &[format!("write -q -P {} {}k 50k", number + 1, number * 30)]);
        lab.snapshot("disk.qcow2", name);
    }
    lab.qemu_img(&["snapshot", "-a", "a", "disk.qcow2"]);
    lab.qemu_img(&["snapshot", "-d", "b", "disk.qcow2"]);
    lab.io("disk.qcow2", &["write -q -P 9 60k 10k".into()]);
    let folder = Folder::new(&lab);
    compare_with_qemu(&lab, &folder, "disk.qcow2");
    for name in ["a", "c"] {
        compare_snapshot(&lab, &folder, "disk.qcow2", name, &lab.snapshot_contents("disk.qcow2", name));
    }
    folder.open("disk.qcow2").open_snapshot("b").map(|_| ()).unwrap_err();
}

#[test]
fn snapshots_over_a_backing_file() {
    let lab = Lab::new();
    lab.put("base.raw", &vec![0x77; 300_000]);
    lab.create_over("disk.qcow2", "cluster_size=4k", ("base.raw", "raw"), MIB);
    lab.io("disk.qcow2", &["write -q -P 1 100k 10k".into(), "write -q -z 200k 10k".into()]);
    let taken = lab.contents("disk.qcow2");
    lab.snapshot("disk.qcow2", "before");
    lab.resize("disk.qcow2", 150 * KIB);
    lab.io("disk.qcow2", &["write -q -P 2 0 50k".into()]);
    compare_snapshot(&lab, &Folder::new(&lab), "disk.qcow2", "before", &taken);
}

#[test]
fn an_id_goes_before_a_name() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "cluster_size=4k", MIB);
    // The first one is called by the id of the second, and the other way round.
    for (pattern, name) in [(1, "2"), (2, "1"), (3, "0x3")] {
        lab.io("disk.qcow2", &[format!("write -q -P {pattern} 0 1M")]);
        lab.snapshot("disk.qcow2", name);
    }
    let image = Folder::new(&lab).open("disk.qcow2");
    for selector in ["1", "2", "3", "0x3"] {
        let view = image.open_snapshot(selector).unwrap();
        let arguments = ["convert", "-f", "qcow2", "-l", selector, "-O", "raw", "disk.qcow2", "by-selector.raw"];
        lab.qemu_img(&arguments);
        assert_same(&now(whole(&view)).unwrap(), &lab.bytes("by-selector.raw"), selector);
    }
    for selector in ["", "4", "01", "3 "] {
        assert_eq!(image.open_snapshot(selector).map(|_| ()).unwrap_err().code(), "NO_SUCH_SNAPSHOT");
    }
}

#[test]
fn every_field_as_qemu_prints_it() {
    let size = 64 * KIB;
    let data = || Cluster::Data(vec![0x77; 4096]);
    let mut odd = SnapshotPlan::new("id of letters", "spaces, \"quotes\" and ünïcode", size).with(1, data());
    odd.date = (u32::MAX, 999_999_999);
    odd.vm_clock_nsec = 123_456_789_012_345_678;
    odd.extra_data = extra_data(0, size, 42);
    let mut without_icount = SnapshotPlan::new("2", "", size).with(2, data());
    without_icount.extra_data = extra_data(0, size, u64::MAX);
    let mut longer = SnapshotPlan::new("3", "with more extra data", size);
    longer.extra_data.extend([0xab; 9]);
    let mut shorter = SnapshotPlan::new("4", "without an icount field", size);
    shorter.extra_data.truncate(16);
    let mut with_state = SnapshotPlan::new("5", "with VM state", size);
    with_state.vm_state_size = 3000;
    with_state.extra_data = extra_data(3000, size, 0);
    let mut with_large_state = SnapshotPlan::new("6", "with more VM state than 32 bits can say", size);
    with_large_state.extra_data = extra_data(5 << 32, size, 7);
    let all = [odd, without_icount, longer, shorter, with_state, with_large_state];
    let plan = all.into_iter().fold(Builder::new(4 * KIB, size), Builder::with_snapshot);
    let lab = Lab::new();
    lab.put("disk.qcow2", &plan.build().bytes);
    compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    for snapshot in &plan.snapshots {
        let view = Folder::new(&lab).open("disk.qcow2").open_snapshot(&snapshot.id).unwrap();
        assert_same(&now(whole(&view)).unwrap(), &snapshot.contents(4 * KIB, &[]), &snapshot.name);
    }
}

#[test]
fn version_2_does_not_record_the_size() {
    let size = 64 * KIB;
    let mut snapshot = SnapshotPlan::new("1", "old", size).with(3, Cluster::Data(vec![0x77; 4096]));
    snapshot.extra_data.clear();
    snapshot.vm_state_size = 5;
    let plan = Builder::new(4 * KIB, size).version_2().with_snapshot(snapshot);
    let lab = Lab::new();
    lab.put("disk.qcow2", &plan.build().bytes);
    compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    let image = Folder::new(&lab).open("disk.qcow2");
    assert_eq!((image.snapshots()[0].disk_size, image.snapshots()[0].vm_state_size), (None, 5));
    let contents = lab.snapshot_contents("disk.qcow2", "old");
    assert_same(&now(whole(&image.open_snapshot("old").unwrap())).unwrap(), &contents, "at the disk's size");
}

#[test]
fn very_many_snapshots() {
    let size = 64 * KIB;
    let snapshots = (1..=1000).map(|number| SnapshotPlan::new(&number.to_string(), "x", size));
    let plan = snapshots.fold(Builder::new(512, size).with_data(3, 0x33), Builder::with_snapshot);
    let lab = Lab::new();
    lab.put("disk.qcow2", &plan.build().bytes);
    compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
}

#[test]
fn the_view_and_the_disk_are_used_side_by_side() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "cluster_size=4k", MIB);
    lab.io("disk.qcow2", &["write -q -P 1 0 1M".into()]);
    lab.snapshot("disk.qcow2", "before");
    lab.io("disk.qcow2", &["write -q -P 2 0 500k".into()]);
    let active = lab.contents("disk.qcow2");
    let image = Folder::new(&lab).open("disk.qcow2");
    let view = image.open_snapshot("before").unwrap();
    drop(image);
    // A view opens views of the other snapshots, and outlives the image that it came from.
    let again = view.open_snapshot("1").unwrap();
    assert!(now(whole(&again)).unwrap().iter().all(|byte| *byte == 1));
    assert_eq!(now(extents(&view)).unwrap().iter().map(|extent| extent.length).sum::<u64>(), MIB);
    compare_contents_with_qemu(&Folder::new(&lab), "disk.qcow2", &active);
}
