//! A real machine: QEMU's emulator boots from an image, saves its state in it, and goes on from a state that we saved.
//!
//! The machine is `qemu-system-x86_64`, without KVM; `npm run setup -- machine` brings it where it isn't installed.

mod emulator;

use std::ops::ControlFlow;

use qcow2_web::storage::FileStorage;
use qcow2_web::{CheckOptions, CreateOptions, Image, OpenOptions, Progress, SnapshotOptions, Verdict};

use crate::common::lab::Lab;
use crate::common::reading::{assert_same, now, whole};
use crate::common::{KIB, MIB, index};
use emulator::Emulator;

/// Counts upwards at 0x500, and writes the sector there to the disk's second one, for ever.
const BOOT_CODE: [u8; 46] = [
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, // ax = ds = es = ss = 0
    0xbc, 0x00, 0x7c, 0x88, 0x16, 0x10, 0x05, // sp = 0x7c00; [0x510] = the drive
    0x66, 0xc7, 0x06, 0x00, 0x05, 0, 0, 0, 0, // dword [0x500] = 0
    0x66, 0xff, 0x06, 0x00, 0x05, // again: dword [0x500] += 1
    0xb8, 0x01, 0x03, 0xbb, 0x00, 0x05, 0xb9, 0x02, 0x00, 0xb6,
    0x00, // write one sector, from 0x500, to the second
    0x8a, 0x16, 0x10, 0x05, 0xcd, 0x13, // of the drive
];
const JUMP_BACK: [u8; 2] = [0xeb, 0xe8];

fn boot_sector() -> Vec<u8> {
    let mut sector = [&BOOT_CODE[..], &JUMP_BACK].concat();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

fn open(lab: &Lab) -> Image<FileStorage> {
    let file = FileStorage::open_writable(lab.path("disk.qcow2")).unwrap();
    now(Image::open_writable(file, OpenOptions::new())).unwrap()
}

fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Nothing is wrong with the image, we say and QEMU says.
#[track_caller]
fn is_sound(lab: &Lab, image: &Image<FileStorage>) {
    let report = now(image.check(CheckOptions::new())).unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{:?}", report.findings);
    lab.check("disk.qcow2");
}

fn names(image: &Image<FileStorage>) -> Vec<String> {
    image.snapshots().iter().map(|snapshot| snapshot.name.clone()).collect()
}

/// The whole VM state of a snapshot.
fn vm_state(view: &Image<FileStorage>) -> Vec<u8> {
    let mut state = vec![0; index(view.vm_state_size())];
    now(view.read_vm_state(0, &mut state)).unwrap();
    state
}

fn a_machine_saves_and_loads(options: &CreateOptions) {
    let lab = Lab::new();
    let file = FileStorage::open_writable(lab.path("disk.qcow2")).unwrap();
    now(options.write_to(&file, None)).unwrap();
    let image = open(&lab);
    now(image.write_at(0, &boot_sector())).unwrap();
    now(image.create_snapshot(&SnapshotOptions::new("fresh"), go_on)).unwrap();
    drop(image);

    let mut machine = Emulator::boot(&lab, "disk.qcow2", &[]);
    machine.wait_for_counter(|counter| counter > 3);
    machine.say("stop");
    let saved = machine.counter();
    machine.say("savevm theirs");
    machine.say("cont");
    machine.wait_for_counter(|counter| counter > saved + 3);
    machine.quit();

    let image = open(&lab);
    is_sound(&lab, &image);
    assert_eq!(names(&image), ["fresh", "theirs"]);
    let view = image.open_snapshot("theirs").unwrap();
    let (state, disk) = (vm_state(&view), now(whole(&view)).unwrap());
    assert!(state.len() > 16 << 10, "{} bytes", state.len());
    assert_same(&disk[..512], &boot_sector(), "the boot sector");
    drop(view);

    // We save what it saved once more, as ours.
    let theirs = image.snapshots()[1].clone();
    now(image.apply_snapshot("theirs", go_on)).unwrap();
    assert_same(&now(whole(&image)).unwrap(), &disk, "the disk, gone back");
    for (part, at) in state.chunks(1 << 20).zip((0..).step_by(1 << 20)) {
        now(image.write_vm_state(at, part)).unwrap();
    }
    let ours = SnapshotOptions::new("ours")
        .date(theirs.date_sec, theirs.date_nsec)
        .vm_clock_nsec(theirs.vm_clock_nsec)
        .icount(theirs.icount)
        .vm_state_size(theirs.vm_state_size);
    now(image.create_snapshot(&ours, go_on)).unwrap();
    now(image.delete_snapshot("fresh", go_on)).unwrap();
    is_sound(&lab, &image);
    assert!(vm_state(&image.open_snapshot("ours").unwrap()) == state, "the state that we saved");
    drop(image);

    for name in ["ours", "theirs"] {
        let mut machine = Emulator::boot(&lab, "disk.qcow2", &["-S", "-loadvm", name]);
        assert_eq!(machine.counter(), saved, "{name} was loaded");
        machine.say("cont");
        machine.wait_for_counter(|counter| counter > saved + 3);
        machine.quit();
        lab.check("disk.qcow2");
    }

    let image = open(&lab);
    assert_eq!(names(&image), ["theirs", "ours"]);
    for name in ["theirs", "ours"] {
        let view = image.open_snapshot(name).unwrap();
        assert_same(&now(whole(&view)).unwrap(), &disk, name);
        drop(view);
        now(image.delete_snapshot(name, go_on)).unwrap();
        is_sound(&lab, &image);
    }
    // What the machine left on the disk is a count, in the second sector.
    let mut count = [0; 4];
    now(image.read_at(512, &mut count)).unwrap();
    assert!(u64::from(u32::from_le_bytes(count)) > saved, "{count:?}");
    assert_same(&lab.contents("disk.qcow2"), &now(whole(&image)).unwrap(), "the disk in the end");
}

#[test]
fn default_clusters() {
    a_machine_saves_and_loads(&CreateOptions::new(16 * MIB));
}

#[test]
fn subclusters() {
    a_machine_saves_and_loads(&CreateOptions::new(16 * MIB).cluster_size(32 * KIB).extended_l2(true));
}

#[test]
fn small_clusters_of_version_2() {
    a_machine_saves_and_loads(&CreateOptions::new(2 * MIB).version(2).cluster_size(KIB));
}
