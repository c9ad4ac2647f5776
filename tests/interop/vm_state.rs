//! The machine's state that a snapshot holds, behind the end of the disk.

use std::ops::ControlFlow;

use qcow2_web::storage::FileStorage;
use qcow2_web::{CompactOptions, Image, OpenOptions};

use crate::common::compare::Folder;
use crate::common::lab::Lab;
use crate::common::reading::now;
use crate::common::{KIB, MIB, index};

/// An image with a snapshot that has `length` bytes of VM state: 0x61 and 0x62 by turns, 3 KiB each.
fn with_state(lab: &Lab, options: &str, size: u64, length: u64) {
    lab.create("disk.qcow2", options, size);
    lab.put("state", &state(length));
    let whole = length.next_multiple_of(512);
    let path = lab.path("state").display().to_string();
    let write = format!("write -q -b -s {path} 0 {whole}");
    lab.io("disk.qcow2", &["write -q -P 0x11 0 10k".into(), write]);
    lab.snapshot("disk.qcow2", "running");
}

fn state(length: u64) -> Vec<u8> {
    (0..length).map(|at| if at / 3072 % 2 == 0 { 0x61 } else { 0x62 }).collect()
}

/// Records the length of the VM state, as `savevm` would, in either field.
fn record_length(lab: &Lab, small: u32, large: u64) {
    let mut bytes = lab.bytes("disk.qcow2");
    let table = index(u64::from_be_bytes(bytes[64..72].try_into().unwrap()));
    bytes[table + 32..][..4].copy_from_slice(&small.to_be_bytes());
    bytes[table + 40..][..8].copy_from_slice(&large.to_be_bytes());
    lab.put("disk.qcow2", &bytes);
}

#[track_caller]
fn assert_state(lab: &Lab, length: u64) {
    let image = Folder::new(lab).open("disk.qcow2");
    assert_eq!(image.vm_state_size(), 0, "the active disk has none");
    let view = image.open_snapshot("running").unwrap();
    assert_eq!(view.vm_state_size(), length);
    let mut bytes = vec![0xee; index(length)];
    now(view.read_vm_state(0, &mut bytes)).unwrap();
    assert!(bytes == state(length), "in one read");
    let mut at = 0;
    for piece in bytes.chunks_mut(777) {
        piece.fill(0xee);
        now(view.read_vm_state(at, piece)).unwrap();
        at += piece.len() as u64;
    }
    assert!(bytes == state(length), "in many reads");
    let error = now(view.read_vm_state(length, &mut [0])).unwrap_err();
    assert_eq!(error.code(), "OUT_OF_BOUNDS");
    // It is no part of the disk.
    assert_eq!(now(view.read_at(view.size(), &mut [0])).unwrap_err().code(), "OUT_OF_BOUNDS");
}

#[test]
fn in_every_cluster_size() {
    let lab = Lab::new();
    for bits in 9..=21 {
        for version in ["0.10", "1.1"] {
            let options = format!("compat={version},cluster_size={}", 1 << bits);
            with_state(&lab, &options, MIB, 100_000);
            record_length(&lab, 100_000, 100_000);
            assert_state(&lab, 100_000);
        }
    }
}

#[test]
fn with_extended_l2() {
    let lab = Lab::new();
    for bits in [14, 16, 21] {
        with_state(&lab, &format!("extended_l2=on,cluster_size={}", 1 << bits), MIB, 100_000);
        record_length(&lab, 100_000, 100_000);
        assert_state(&lab, 100_000);
    }
}

#[test]
fn behind_a_disk_that_fills_its_l2_tables() {
    // With clusters of 4 KiB a table covers 2 MiB: one just full, one begun, one not quite full.
    let lab = Lab::new();
    for size in [2 * MIB, 2 * MIB + 512, 4 * MIB - 512, 512, 0] {
        lab.create("probe.qcow2", "cluster_size=4k", size);
        lab.create("disk.qcow2", "cluster_size=4k", size);
        lab.put("state", &state(10_000));
        let write = format!("write -q -b -s {} 0 10240", lab.path("state").display());
        lab.io("disk.qcow2", &[write]);
        lab.snapshot("disk.qcow2", "running");
        record_length(&lab, 10_000, 10_000);
        assert_state(&lab, 10_000);
    }
}

#[test]
fn qemu_finds_the_same_state() {
    let lab = Lab::new();
    with_state(&lab, "cluster_size=4k", MIB, 6000);
    record_length(&lab, 6000, 6000);
    lab.qemu_img(&["snapshot", "-a", "running", "disk.qcow2"]);
    lab.io("disk.qcow2", &["read -q -b -P 0x61 0 3k".into(), "read -q -b -P 0x62 3k 2560".into()]);
    assert_state(&lab, 6000);
}

#[test]
fn after_the_disk_was_resized() {
    // The state stays where the disk ended when the snapshot was taken.
    let lab = Lab::new();
    for size in [9 * MIB, 512 * KIB] {
        with_state(&lab, "cluster_size=4k", 3 * MIB, 50_000);
        record_length(&lab, 50_000, 50_000);
        lab.resize("disk.qcow2", size);
        lab.io("disk.qcow2", &["write -q -P 0x22 0 512k".into()]);
        assert_state(&lab, 50_000);
    }
}

#[test]
fn whose_length_needs_64_bits() {
    // 5 GiB of which the image holds the first bytes: the rest was never written, and is zero.
    let lab = Lab::new();
    with_state(&lab, "cluster_size=64k", MIB, 100_000);
    let length = 5 << 30;
    record_length(&lab, 0, length);
    let view = Folder::new(&lab).open("disk.qcow2").open_snapshot("running").unwrap();
    assert_eq!(view.vm_state_size(), length);
    let mut bytes = vec![0xee; 100_000];
    now(view.read_vm_state(0, &mut bytes)).unwrap();
    assert!(bytes == state(100_000));
    now(view.read_vm_state(length - 100_000, &mut bytes)).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn a_backing_file_does_not_show_in_it() {
    let lab = Lab::new();
    lab.put("base.raw", &vec![0x77; index(8 * MIB)]);
    lab.create_over("disk.qcow2", "cluster_size=4k", ("base.raw", "raw"), MIB);
    lab.snapshot("disk.qcow2", "running");
    record_length(&lab, 4096, 4096);
    let view = Folder::new(&lab).open("disk.qcow2").open_snapshot("running").unwrap();
    let mut bytes = vec![0xee; 4096];
    now(view.read_vm_state(0, &mut bytes)).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
}

fn open_writable(lab: &Lab) -> Image<FileStorage> {
    let file = FileStorage::open_writable(lab.path("disk.qcow2")).unwrap();
    now(Image::open_writable(file, OpenOptions::new())).unwrap()
}

fn file_length(lab: &Lab) -> u64 {
    lab.bytes("disk.qcow2").len() as u64
}

#[test]
fn a_state_without_a_snapshot_is_where_qemu_has_it() {
    let lab = Lab::new();
    let images = [("cluster_size=4k", 3 * MIB), ("cluster_size=64k", MIB), ("extended_l2=on", 2 * MIB + 512)];
    for (options, size) in images {
        lab.create("disk.qcow2", options, size);
        let before = file_length(&lab);
        let image = open_writable(&lab);
        now(image.write_at(0, &[0x11; 5000])).unwrap();
        let bytes = state(30_720);
        for (part, at) in bytes.chunks(3000).zip((0..).step_by(3000)) {
            now(image.write_vm_state(at, part)).unwrap();
        }
        let mut found = vec![0xee; bytes.len() + 100_000];
        now(image.read_vm_state(0, &mut found)).unwrap();
        assert!(found[..bytes.len()] == bytes && found[bytes.len()..].iter().all(|byte| *byte == 0), "{options}");
        now(image.close()).unwrap();
        drop(image);
        lab.check("disk.qcow2");
        lab.io("disk.qcow2", &["read -q -b -P 0x61 0 3k".into(), "read -q -b -P 0x62 3k 3k".into()]);
        // And what QEMU writes there.
        lab.io("disk.qcow2", &["write -q -b -P 0x63 6k 2k".into()]);
        let image = open_writable(&lab);
        let mut found = vec![0; 2048];
        now(image.read_vm_state(6144, &mut found)).unwrap();
        assert!(found.iter().all(|byte| *byte == 0x63), "{options}");
        now(image.discard_vm_state()).unwrap();
        now(image.read_vm_state(6144, &mut found)).unwrap();
        assert!(found.iter().all(|byte| *byte == 0), "{options}");
        now(image.close()).unwrap();
        drop(image);
        lab.check("disk.qcow2");
        lab.io("disk.qcow2", &["read -q -P 0x11 0 5000".into()]);
        let image = open_writable(&lab);
        now(image.compact(CompactOptions::new(), |_| ControlFlow::Continue(()))).unwrap();
        drop(image);
        // The data of the disk, its L2 table, and two clusters that a restructuring of the tables leaves. A new file lacks the
        // end of its last cluster.
        let more = file_length(&lab) - before;
        assert!(more <= 5 << 16, "{options}: {more} bytes more than an empty one");
    }
}

#[test]
fn discarding_keeps_the_states_of_snapshots() {
    let lab = Lab::new();
    with_state(&lab, "cluster_size=4k", MIB, 50_000);
    record_length(&lab, 50_000, 50_000);
    let image = open_writable(&lab);
    now(image.write_vm_state(0, &[1; 9000])).unwrap();
    now(image.discard_vm_state()).unwrap();
    // Nothing is left to discard.
    now(image.discard_vm_state()).unwrap();
    now(image.close()).unwrap();
    drop(image);
    assert_state(&lab, 50_000);
    lab.check("disk.qcow2");
}
