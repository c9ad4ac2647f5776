//! Faults that the other tests found, each in its smallest form.

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{Image, OpenOptions, WithoutBacking, ZeroMode};

use crate::common::builder::{Builder, COPIED, Cluster, field};
use crate::common::executor::Tasks;
use crate::common::index;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::rig::checker::check;
use crate::rig::machine::{Event, Landing, Machine, Request, SECTOR};
use crate::rig::setup::{Backing, IMAGE, Setup};

#[test]
fn many_clusters_that_do_not_compress() {
    let setup = Setup::plain(15, 64 << 15);
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    let noise = Random::seeded(2).noise(64 << 15);
    now(image.write_compressed(0, &noise)).unwrap();
    assert!(now(whole(&image)).unwrap() == noise);
}

/// The old table is given up while the image is closed.
#[test]
fn refcount_table_that_moves_at_the_close() {
    let setup = Setup { refcount_bits: 64, ..Setup::plain(9, 4000 * 512) };
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.write_at(0, &vec![1; 4000 * 512])).unwrap();
    now(image.close()).unwrap();
    let findings = machine.with_files(|files| check(&files[IMAGE]));
    assert_eq!(findings.exit_code(), 0, "{findings}");
}

/// Lets reads complete until a write waits, and gives its number.
fn run_to_a_write(machine: &Machine, tasks: &mut Tasks<'_>) -> u64 {
    loop {
        tasks.run();
        match machine.waiting()[0] {
            (id, Request::Read { .. }) => machine.complete(id, &mut Random::seeded(1)),
            (id, _) => return id,
        }
    }
}

/// What a dropped write put past the end of the file is not zeros, where that cluster is taken again.
#[test]
fn dropped_write_past_the_end() {
    let setup = Setup::plain(12, 64 << 12);
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    machine.hold(true);
    let mut tasks = Tasks::default();
    let writer = image.clone();
    tasks.spawn(async move { writer.write_at(0, &[0xab; 4096]).await });
    let dropped = run_to_a_write(&machine, &mut tasks);
    tasks.cancel(0);
    machine.settle_as(dropped, Landing::Everything);
    machine.hold(false);
    now(image.flush()).unwrap();
    now(image.write_at(20 << 12, b"x")).unwrap();
    now(image.close()).unwrap();
    let image = setup.open(&machine).unwrap();
    let mut bytes = [0xee; 4096];
    now(image.read_at(20 << 12, &mut bytes)).unwrap();
    assert_eq!((bytes[0], bytes[1]), (b'x', 0));
}

/// What can be read of a dropped write is durable after a flush, as everything else that can be read.
#[test]
fn flush_after_a_dropped_write() {
    let setup = Setup::plain(12, 64 << 12);
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.write_at(0, &[1; 4096])).unwrap();
    now(image.flush()).unwrap();
    machine.hold(true);
    let mut tasks = Tasks::default();
    let writer = image.clone();
    tasks.spawn(async move { writer.write_at(0, &[2; 4096]).await });
    let dropped = run_to_a_write(&machine, &mut tasks);
    tasks.cancel(0);
    machine.settle_as(dropped, Landing::Everything);
    machine.hold(false);
    let before = machine.counts().flushes;
    now(image.flush()).unwrap();
    assert_eq!(machine.counts().flushes, before + 1);
}

/// A dropped write that made the file longer: what it wrote is seen by this handle as by the next one.
#[test]
fn dropped_write_at_the_end_of_the_file() {
    let setup = Setup::plain(12, 64 << 12);
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    // The file ends with the second byte, behind the L2 table.
    now(image.write_at(0, b"x")).unwrap();
    now(image.write_at(4096, b"x")).unwrap();
    now(image.flush()).unwrap();
    machine.hold(true);
    let mut tasks = Tasks::default();
    let writer = image.clone();
    tasks.spawn(async move { writer.write_at(6000, &[2; 100]).await });
    let dropped = run_to_a_write(&machine, &mut tasks);
    tasks.cancel(0);
    machine.settle_as(dropped, Landing::Everything);
    machine.hold(false);
    now(image.flush()).unwrap();
    let seen = now(whole(&image)).unwrap();
    now(image.close()).unwrap();
    assert!(now(whole(&setup.open_to_read(&machine).unwrap())).unwrap() == seen);
}

/// Zeros that have to be written as data are written piece by piece: no sector in two pieces.
#[test]
fn zeros_that_no_sector_is_torn_by() {
    let setup = Setup { version: 2, ..Setup::plain(20, 1 << 20) };
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.write_at(0, &[1; 1 << 20])).unwrap();
    machine.take_log();
    now(image.write_zeroes(450_985, 509_891, ZeroMode::KeepAllocated)).unwrap();
    let log = machine.take_log();
    let ends = log.iter().filter_map(|event| match event {
        Event::Asked { change, .. } => Some(change.range().end),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert!(ends.len() > 1 && ends[..ends.len() - 1].iter().all(|end| end.is_multiple_of(SECTOR)), "{ends:?}");
}

/// It went into the tables that the snapshot shares with the disk.
#[test]
fn snapshot_that_is_written() {
    let setup = Setup { snapshot: true, ..Setup::plain(12, 64 << 12) };
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    let snapshot = image.open_snapshot(&image.snapshots()[0].id).unwrap();
    for result in [now(snapshot.write_at(0, &[1])), now(snapshot.discard(0, 4096)), now(snapshot.flush())] {
        assert_eq!(result.unwrap_err().code(), "READ_ONLY");
    }
}

/// Zeros are zeros also where the backing file is there again.
#[test]
fn zeros_over_a_backing_file_that_is_not_open() {
    const UNIT: u64 = 4096;
    const KEEP: ZeroMode = ZeroMode::KeepAllocated;
    for (version, qcow2, mode) in [(2, false, KEEP), (3, false, KEEP), (3, false, ZeroMode::Unmap), (3, true, KEEP)] {
        let backing = Some(Backing { qcow2, size: 64 * UNIT });
        let setup = Setup { version, backing, ..Setup::plain(12, 64 * UNIT) };
        let (machine, base) = setup.make(&mut Random::seeded(1));
        let options = OpenOptions::new().backing(WithoutBacking);
        let image = now(Image::open_writable(machine.file(IMAGE), options)).unwrap();
        // Whole clusters, and a part of one.
        let zeroed = index(8 * UNIT)..index(12 * UNIT + 100);
        now(image.write_zeroes(8 * UNIT, 4 * UNIT + 100, mode)).unwrap();
        now(image.close()).unwrap();
        let disk = now(whole(&setup.open_to_read(&machine).unwrap())).unwrap();
        let what = format!("version {version}, over qcow2 {qcow2}, {mode:?}");
        assert!(disk[zeroed].iter().all(|byte| *byte == 0), "{what}");
        assert!(disk[..index(8 * UNIT)] == base[..index(8 * UNIT)], "{what}");
        assert!(disk[index(13 * UNIT)..] == base[index(13 * UNIT)..], "{what}");
    }
}

/// What a flush that was dropped has linked is changed only behind a barrier, as all that the file points to.
#[test]
fn table_that_a_dropped_flush_has_linked() {
    let setup = Setup::plain(12, 64 << 12);
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.write_at(0, &[1; 4096])).unwrap();
    let l1 = u64::from_be_bytes(machine.with_files(|files| files[IMAGE][40..48].try_into().unwrap()));
    machine.hold(true);
    let mut tasks = Tasks::default();
    let flushed = image.clone();
    tasks.spawn(async move { flushed.flush().await });
    let link = loop {
        tasks.run();
        match &machine.waiting()[0] {
            (id, Request::Change { change, .. }) if change.range().contains(&l1) => break *id,
            (id, _) => machine.complete(*id, &mut Random::seeded(1)),
        }
    };
    tasks.cancel(0);
    machine.settle_as(link, Landing::Everything);
    machine.hold(false);
    let before = machine.files().swap_remove(IMAGE);
    machine.take_log();
    now(image.write_at(4096, &[2; 4096])).unwrap();
    now(image.flush()).unwrap();
    // Each of these may be the only one that a crash leaves.
    let events = machine.take_log().into_iter().take_while(|event| !matches!(event, Event::FlushDone { .. }));
    for event in events {
        let Event::Asked { change, .. } = event else { continue };
        let mut file = before.clone();
        change.apply(&mut file, Landing::Everything);
        let findings = check(&file);
        assert_ne!(findings.exit_code(), 2, "{:?}: {findings}", change.range());
    }
}

/// What is told of an image is what its file says, also of what this handle has changed.
#[test]
fn marks_that_the_handle_has_made() {
    let unaligned = Cluster::Entry(COPIED | (4096 + 512), 0);
    let plan = Builder::new(4096, 64 << 12).with(3, unaligned);
    let storage = MemoryStorage::from(plan.build().set_u64(field::AUTOCLEAR, 0xfd).bytes);
    let image = now(Image::open_writable(&storage, OpenOptions::new())).unwrap();
    let told = || {
        let reopened = now(Image::open(&storage, OpenOptions::new())).unwrap();
        assert_eq!(image.is_corrupt(), reopened.is_corrupt());
        assert_eq!(now(image.info()).unwrap(), now(reopened.info()).unwrap());
    };
    told();
    now(image.write_at(3 << 12, &[1])).unwrap_err();
    assert!(image.is_corrupt());
    told();
}

/// Wherever a close is dropped that moves the refcount table, another one leaves nothing behind.
#[test]
fn refcount_table_that_moves_at_a_close_that_is_dropped() {
    let setup = Setup { refcount_bits: 64, ..Setup::plain(9, 4000 * 512) };
    let completed = |requests: &u32| {
        let (machine, _) = setup.make(&mut Random::seeded(1));
        let image = setup.open(&machine).unwrap();
        now(image.write_at(0, &vec![1; 4000 * 512])).unwrap();
        machine.hold(true);
        let mut tasks = Tasks::default();
        let closed = image.clone();
        let done = tasks.spawn(async move { closed.close().await });
        tasks.run();
        for _ in 0..*requests {
            machine.waiting().iter().for_each(|(id, _)| machine.complete(*id, &mut Random::seeded(1)));
            tasks.run();
        }
        tasks.cancel(0);
        machine.hold(false);
        machine.land_dropped(Landing::Everything);
        now(image.close()).unwrap();
        let findings = machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!(findings.exit_code(), 0, "dropped after {requests} requests: {findings}");
        done.is_done()
    };
    assert!((0..1000).any(|requests| completed(&requests)), "it ends");
}
