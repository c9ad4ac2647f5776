//! Snapshot tables that lie.

use qcow2_web::{Corrupt, HeaderTable, Image};

use crate::common::builder::{Builder, Built, Cluster, SnapshotPlan, extra_data, field};
use crate::common::disk::Disk;
use crate::common::memory::peak_of;
use crate::common::reading::{DiskError, now, open, range, whole};
use crate::common::{GIB, KIB, MIB};
use crate::hostile::verdict::{both_read_as, only_we_read, opened, problem_of, we_do_not_write};

const SIZE: u64 = 64 * KIB;

fn snapshot(id: &str, name: &str) -> SnapshotPlan {
    SnapshotPlan::new(id, name, SIZE).with(2, Cluster::Data(vec![0x77; 4096]))
}

fn plan() -> Builder {
    Builder::new(4 * KIB, SIZE)
        .with_data(0, 0x11)
        .with_snapshot(snapshot("1", "first"))
        .with_snapshot(snapshot("2", "second"))
}

fn sound() -> Built {
    plan().build()
}

/// The error of opening the second snapshot, where the image itself opens.
#[track_caller]
fn refusal_of_second(image: &Built) -> DiskError {
    match opened(image).open_snapshot("second") {
        Ok(_) => panic!("the snapshot should have been refused"),
        Err(error) => error,
    }
}

#[test]
fn the_sound_image_is_sound() {
    both_read_as(&sound(), &sound().contents(&[]));
    let view = opened(&sound()).open_snapshot("second").unwrap();
    let contents = snapshot("2", "second").contents(4 * KIB, &[]);
    assert_eq!(now(whole(&view)).unwrap(), contents);
}

#[test]
fn more_snapshots_than_65536() {
    for count in [65_537, u32::MAX] {
        let image = sound().set_u32(field::NB_SNAPSHOTS, count);
        only_we_read(
            &image,
            &sound().contents(&[]),
            Corrupt::TableTooLarge { table: HeaderTable::Snapshots, count: count.into() },
        );
    }
}

#[test]
fn table_between_clusters() {
    for offset in [1, 512, u64::MAX] {
        let image = sound().set_u64(field::SNAPSHOTS_OFFSET, offset);
        only_we_read(&image, &sound().contents(&[]), Corrupt::TableUnaligned { table: HeaderTable::Snapshots, offset });
    }
}

/// An entry that the file does not hold is no snapshot. QEMU reads zeros past the end, and lists snapshots that nobody took.
#[test]
fn table_past_the_end_of_the_file() {
    let offset = GIB;
    let image = sound().set_u64(field::SNAPSHOTS_OFFSET, offset);
    we_do_not_write(&image, &sound().contents(&[]), Corrupt::SnapshotTruncated { index: 0, offset });
    assert_eq!(opened(&image).snapshots().len(), 0);
}

#[test]
fn more_snapshots_than_the_table_holds() {
    // Behind the table there are zeros, which are an entry without a name.
    let image = sound().set_u32(field::NB_SNAPSHOTS, 3);
    both_read_as(&image, &sound().contents(&[]));
    assert_eq!(opened(&image).snapshots()[2].name, "");
}

#[test]
fn table_that_is_the_header() {
    // The magic number and the version are an L1 offset, and so on.
    let image = sound().set_u64(field::SNAPSHOTS_OFFSET, 0);
    both_read_as(&image, &sound().contents(&[]));
    let image_open = opened(&image);
    let error = image_open.open_snapshot(&image_open.snapshots()[0].id).map(|_| ()).unwrap_err();
    let refusal = Corrupt::TableUnaligned { table: HeaderTable::SnapshotL1, offset: image.u64_at(0) };
    assert_eq!(problem_of(&error), refusal.into());
}

#[test]
fn extra_data_too_short_for_version_3() {
    // Where the version was raised after the snapshot: what is not recorded is the active disk's.
    for length in [0, 8, 15] {
        let mut plan = plan();
        plan.snapshots[1].extra_data.truncate(length);
        both_read_as(&plan.build(), &plan.contents(&[]));
        let image = opened(&plan.build());
        assert_eq!(image.snapshots()[1].disk_size, None);
        assert_eq!(image.open_snapshot("second").unwrap().size(), SIZE);
    }
}

#[test]
fn extra_data_that_version_2_may_leave_out() {
    for length in [0, 8, 16, 24] {
        let mut plan = plan().version_2();
        plan.snapshots[1].extra_data.truncate(length);
        both_read_as(&plan.build(), &plan.contents(&[]));
        let disk_size = opened(&plan.build()).snapshots()[1].disk_size;
        assert_eq!(disk_size, (length >= 16).then_some(SIZE));
    }
}

#[test]
fn extra_data_of_more_than_1024_bytes() {
    let mut plan = plan();
    plan.snapshots[1].extra_data.resize(1024, 0xab);
    both_read_as(&plan.build(), &plan.contents(&[]));
    let unknown = &opened(&plan.build()).snapshots()[1].unknown_extra_data.clone();
    assert_eq!((unknown.len(), unknown[0]), (1000, 0xab));
    for length in [1025, 4096, u32::MAX] {
        let image = plan.build();
        let offset = image.snapshot_entries[1];
        let image = image.set_u32(offset + 36, length);
        only_we_read(&image, &plan.contents(&[]), Corrupt::SnapshotExtraData { index: 1, offset, length });
    }
}

#[test]
fn id_and_name_that_leave_the_file() {
    for field in [12, 14] {
        let image = sound();
        let offset = image.snapshot_entries[1];
        let image = image.set_u16(offset + field, u16::MAX);
        we_do_not_write(&image, &sound().contents(&[]), Corrupt::SnapshotTruncated { index: 1, offset });
        // What is before the damage can be opened; what is behind it is not unknown, but damaged.
        let contents = snapshot("1", "first").contents(4 * KIB, &[]);
        assert_eq!(now(whole(&opened(&image).open_snapshot("first").unwrap())).unwrap(), contents);
        assert_eq!(refusal_of_second(&image).code(), "CORRUPT_SNAPSHOT");
    }
}

/// A file of `length` bytes that is `image` and then zeros, with `count` snapshots that begin at `table`.
fn with_table_of_zeros(image: Built, count: u32, table: u64, length: u64) -> Disk {
    let image = image.set_u32(field::NB_SNAPSHOTS, count).set_u64(field::SNAPSHOTS_OFFSET, table);
    Disk::sparse(length, [(0, image.bytes)])
}

#[test]
fn the_most_snapshots_that_there_can_be() {
    // Version 2, so that an entry of zeros is a valid one: 65,536 of 40 bytes.
    let image = Builder::new(4 * KIB, SIZE).version_2().build();
    let disk = with_table_of_zeros(image, 65_536, MIB, 64 * MIB);
    let (image, peak) = peak_of(|| open(&disk).unwrap());
    assert_eq!(image.snapshots().len(), 65_536);
    assert!(peak < 32 * MIB as usize, "{peak} bytes of memory");
    assert!(disk.reads().len() < 64, "{} requests", disk.reads().len());
}

#[test]
fn table_of_more_than_64_mib() {
    // Every entry has a name of 65,535 bytes, which overlaps nothing: refused before it takes the memory.
    let mut image = Builder::new(4 * KIB, SIZE).version_2().build();
    image = image.set_u32(field::NB_SNAPSHOTS, 65_536).set_u64(field::SNAPSHOTS_OFFSET, MIB);
    let entry = |at: u64| (at, [&[0; 12][..], &[0, 0, 0xff, 0xff], &[0; 24]].concat());
    let length = (40 + 65_535u64).next_multiple_of(8);
    let entries = (0..2000).map(|number| entry(MIB + number * length));
    let disk = Disk::sparse(GIB, entries.chain([(0, image.bytes)]));
    let (problems, peak) = peak_of(|| open(&disk).unwrap().problems());
    let problem = Corrupt::TableTooLarge { table: HeaderTable::Snapshots, count: 65_536 };
    assert_eq!(problems, [problem.into()]);
    assert!(peak < 192 * MIB as usize, "{peak} bytes of memory");
    assert!(disk.reads().len() < 2500, "{} requests", disk.reads().len());
}

#[test]
fn snapshot_with_an_l1_table_beyond_32_mib() {
    for count in [(4 << 20) + 1, u32::MAX] {
        let image = sound();
        let entry = image.snapshot_entries[1];
        let image = image.set_u32(entry + 8, count);
        let error = refusal_of_second(&image);
        let refusal = Corrupt::TableTooLarge { table: HeaderTable::SnapshotL1, count: count.into() };
        assert_eq!(problem_of(&error), refusal.into());
    }
}

#[test]
fn snapshot_with_a_larger_l1_table_than_the_disk() {
    // It overflowed a buffer of the active table's size in QEMU, once. What is past the file's end reads as zeros.
    let image = sound();
    let entry = image.snapshot_entries[1];
    let view = opened(&image.set_u32(entry + 8, 4 << 20)).open_snapshot("second").unwrap();
    assert_eq!(now(whole(&view)).unwrap(), snapshot("2", "second").contents(4 * KIB, &[]));
}

#[test]
fn snapshot_with_an_l1_table_between_clusters() {
    for offset in [512, 4097, u64::MAX] {
        let image = sound();
        let entry = image.snapshot_entries[1];
        let error = refusal_of_second(&image.set_u64(entry, offset));
        let refusal = Corrupt::TableUnaligned { table: HeaderTable::SnapshotL1, offset };
        assert_eq!(problem_of(&error), refusal.into());
    }
}

#[test]
fn snapshot_with_an_l1_table_past_the_end_of_the_file() {
    let image = sound();
    let entry = image.snapshot_entries[1];
    let view = opened(&image.set_u64(entry, GIB)).open_snapshot("second").unwrap();
    assert_eq!(now(whole(&view)).unwrap(), vec![0; SIZE as usize]);
}

#[test]
fn snapshot_of_a_disk_larger_than_its_l1_table_covers() {
    for (size, needed) in [(2 * MIB + 512, 2), (1 << 40, 1 << 19), (u64::MAX, 1 << 43)] {
        let mut plan = plan();
        plan.snapshots[1].extra_data = extra_data(0, size, u64::MAX);
        let image = plan.build();
        let error = refusal_of_second(&image);
        let refusal = Corrupt::SnapshotL1TooSmall { offset: image.snapshot_l1[1], entries: 1, needed };
        assert_eq!(problem_of(&error), refusal.into());
        // The active disk is not concerned.
        both_read_as(&image, &plan.contents(&[]));
    }
}

#[test]
fn snapshot_with_broken_l1_and_l2_entries() {
    let image = sound();
    let l1 = image.snapshot_l1[1];
    let broken = image.clone().set_u64(l1, 512);
    let view = opened(&broken).open_snapshot("second").unwrap();
    let error = now(whole(&view)).unwrap_err();
    assert_eq!(problem_of(&error), Corrupt::L2TableUnaligned { entry_offset: l1, table: 512 }.into());
    let l2 = image.u64_at(l1) & 0x00ff_ffff_ffff_fe00;
    let broken = image.set_u64(l2 + 16, 512);
    let view = opened(&broken).open_snapshot("second").unwrap();
    let error = now(whole(&view)).unwrap_err();
    assert_eq!(problem_of(&error), Corrupt::ClusterUnaligned { entry_offset: l2 + 16, cluster: 512 }.into());
}

#[test]
fn the_same_id_and_name_for_all() {
    let plan = Builder::new(4 * KIB, SIZE).with_snapshot(snapshot("1", "1")).with_snapshot(snapshot("1", "1"));
    let image = opened(&plan.build());
    assert_eq!(image.snapshots().len(), 2);
    assert!(image.open_snapshot("1").is_ok());
}

#[test]
fn names_that_are_no_text() {
    let mut image = sound();
    let name = image.snapshot_entries[1] + 40 + 24 + 1;
    image.set(name, &[0xff, 0xfe, 0, 1, 0x80, 0xc0]);
    let image: Image<Disk> = opened(&image);
    assert_eq!(image.snapshots()[1].name.chars().count(), 6);
}

#[test]
fn vm_state_of_all_there_can_be() {
    // 2^64 - 1 bytes of it: reads are within the number, and past the L1 table there are zeros.
    let mut plan = plan();
    plan.snapshots[1].extra_data = extra_data(u64::MAX, SIZE, 0);
    let image = opened(&plan.build());
    let view = image.open_snapshot("second").unwrap();
    assert_eq!(view.vm_state_size(), u64::MAX);
    for offset in [0, MIB, 1 << 61, 1 << 62, u64::MAX - 4 * MIB, u64::MAX - 512] {
        let mut bytes = [1; 512];
        now(view.read_vm_state(offset, &mut bytes)).unwrap();
        assert_eq!(bytes, [0; 512], "at {offset:#x}");
    }
    now(range(&view, 0, SIZE)).unwrap();
}

#[test]
fn what_qemu_says_of_bad_snapshots() {
    // A snapshot's own L1 table is looked at when it is loaded, by QEMU as by us.
    let image = sound();
    let entry = image.snapshot_entries[1];
    both_read_as(&image.clone().set_u64(entry, 512), &sound().contents(&[]));
    both_read_as(&image.set_u32(entry + 8, u32::MAX), &sound().contents(&[]));
}
