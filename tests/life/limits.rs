//! The ends of what an image can be: states of many gigabytes, the largest disks; and disks whose data are in another file.

use std::ops::ControlFlow;

use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, Preallocation, ResizeOptions, SnapshotOptions};

use super::bench::Bench;
use crate::common::builder::{Builder, SnapshotPlan};
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now, range};
use crate::common::{GIB, KIB, MIB};
use crate::rig::setup::{DATA, DataFile, Setup};

#[test]
fn a_state_whose_length_needs_64_bits() {
    let bench = Bench::new(Setup::plain(16, MIB));
    let (first, last) = (vec![0x61; 3072], vec![0x62; 2560]);
    let length = 5 * GIB + 2560;
    now(bench.image.write_at(0, &[0x11; 512])).unwrap();
    now(bench.image.write_vm_state(0, &first)).unwrap();
    now(bench.image.write_vm_state(5 * GIB, &last)).unwrap();
    let options = SnapshotOptions::new("large").vm_state_size(length);
    let snapshot = now(bench.image.create_snapshot(&options, |_| ControlFlow::Continue(()))).unwrap();
    assert_eq!(snapshot.vm_state_size, length);
    bench.is_sound();
    let listed = bench.lab.info("image");
    assert_eq!(listed["snapshots"][0]["vm-state-size"], length);

    let reads = [(0, 0x61, 3072), (5 * GIB, 0x62, 2560)];
    let view = bench.image.open_snapshot("large").unwrap();
    for (offset, byte, length) in reads {
        let mut found = vec![0; length];
        now(view.read_vm_state(offset, &mut found)).unwrap();
        assert!(found.iter().all(|found| *found == byte));
    }
    // QEMU makes the state the disk's own again, and finds it there.
    bench.lab.qemu_img(&["snapshot", "-a", "large", "image"]);
    let reads = reads.map(|(offset, byte, length)| format!("read -q -b -P {byte} {offset} {length}"));
    bench.lab.io("image", &reads);
}

#[test]
fn ids_after_the_largest() {
    let plan = |id: &str| SnapshotPlan::new(id, "", MIB);
    let largest = u64::MAX.to_string();
    let built = Builder::new(64 * KIB, MIB).with_snapshot(plan(&largest)).with_snapshot(plan("0")).build();
    let lab = Lab::new();
    lab.put("image", &built.bytes);
    let storage = FileStorage::open_writable(lab.path("image")).unwrap();
    let image = now(Image::open_writable(storage, OpenOptions::new())).unwrap();
    for _ in 0..2 {
        now(image.create_snapshot(&SnapshotOptions::new(""), |_| ControlFlow::Continue(()))).unwrap();
    }
    now(image.close()).unwrap();
    // As QEMU counts, behind the largest comes 0 again; but no two have the same.
    let info = lab.info("image");
    let ids: Vec<&str> =
        info["snapshots"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&largest, "0", "1", "2"]);
    lab.check("image");
}

#[test]
fn the_largest_disks() {
    // An L1 table has at most 32 MiB, and a disk 2 EiB.
    for (bits, largest) in [(9, 128 * GIB), (12, 8192 * GIB), (21, 1 << 61)] {
        let bench = Bench::new(Setup::plain(bits, MIB));
        let refused = now(bench.image.resize(largest + 512, &ResizeOptions::new())).unwrap_err();
        assert_eq!(refused.code(), "DISK_TOO_LARGE");
        now(bench.image.resize(largest, &ResizeOptions::new())).unwrap();
        assert_eq!(bench.image.size(), largest);
        now(bench.image.write_at(largest - 512, &[0x33; 512])).unwrap();
        now(bench.image.flush()).unwrap();
        bench.is_sound();
        bench.lab.io("image", &[format!("read -q -P 0x33 {} 512", largest - 512)]);
        assert!(now(range(&bench.image, largest - 1024, 512)).unwrap().iter().all(|byte| *byte == 0));
        now(bench.image.resize(MIB, &ResizeOptions::new().shrink(true))).unwrap();
        bench.is_sound();
    }
}

#[test]
fn a_disk_whose_data_are_in_another_file() {
    let all = [Preallocation::Off, Preallocation::Metadata, Preallocation::Full];
    for (data_file, preallocation) in
        [DataFile::Plain, DataFile::Raw].into_iter().flat_map(|file| all.map(|all| (file, all)))
    {
        let bench = Bench::new(Setup { data_file, ..Setup::plain(12, 300 * KIB) });
        let noise = Random::seeded(1).noise(300 << 10);
        now(bench.image.write_at(0, &noise)).unwrap();
        now(bench.image.resize(100 * KIB, &ResizeOptions::new().shrink(true))).unwrap();
        bench.is_sound();
        assert_same(&bench.lab.contents("image"), &noise[..100 << 10], "shrunk");
        now(bench.image.resize(700 * KIB, &ResizeOptions::new().preallocation(preallocation))).unwrap();
        bench.is_sound();
        let contents = bench.lab.contents("image");
        assert_same(&contents[..100 << 10], &noise[..100 << 10], "grown");
        assert!(contents[100 << 10..].iter().all(|byte| *byte == 0), "grown by zeros");
        if data_file == DataFile::Raw {
            assert_same(&bench.machine.files()[DATA], &contents, "the data file is the disk");
        }
    }
}
