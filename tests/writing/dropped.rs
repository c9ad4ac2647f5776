//! Each request dropped at each of its awaits: the image stays consistent, and each byte is as before or as written.

use crate::common::executor::Tasks;
use crate::common::index;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::rig::checker::check;
use crate::rig::machine::{Landing, Machine};
use crate::rig::operation::{Operation, part_of};
use crate::rig::setup::{Backing, DataFile, IMAGE, Setup};

/// Images with several L2 tables, all of which have been written to here and there.
fn setups() -> Vec<Setup> {
    let plain = Setup { table_cache: 0, ..Setup::plain(9, 200 * 512) };
    let backing = Some(Backing { qcow2: false, size: 150 * 512 });
    let extended = Setup { extended_l2: true, table_cache: 0, ..Setup::plain(14, 6 << 14) };
    vec![
        plain.clone(),
        Setup { backing, ..plain.clone() },
        Setup { snapshot: true, ..plain.clone() },
        Setup { refcount_bits: 64, ..plain.clone() },
        Setup { data_file: DataFile::Plain, ..plain },
        Setup { backing: Some(Backing { qcow2: true, size: 3 << 14 }), ..extended.clone() },
        extended,
    ]
}

/// Requests that reach over the end of an L2 table where clusters have 512 bytes.
fn operations(setup: &Setup) -> Vec<Operation> {
    let unit = setup.cluster_size();
    let offset = if setup.cluster_bits == 9 { 62 * unit + 100 } else { unit + 100 };
    // Nothing is allocated there; where clusters have 512 bytes, an L2 table ends in it.
    let empty = if setup.cluster_bits == 9 { 190 * unit + 100 } else { 2 * unit + 1000 };
    let mut operations = vec![
        Operation::Write { offset, length: 3 * unit, seed: 1 },
        Operation::Write { offset, length: 10, seed: 2 },
        Operation::Write { offset: empty, length: 3 * unit, seed: 3 },
        Operation::Zeroes { offset, length: 3 * unit, unmap: false },
        Operation::Zeroes { offset, length: 3 * unit, unmap: true },
        Operation::Discard { offset, length: 4 * unit },
        Operation::CopyUp { offset: empty, length: 3 * unit },
        Operation::Compact { detect_zeroes: true },
        Operation::Flush,
        Operation::Reopen { table_cache: 0 },
    ];
    if setup.data_file == DataFile::None {
        operations.push(Operation::Compressed { offset: offset / unit * unit, length: 3 * unit, seed: 5 });
    }
    operations
}

/// What is done before the request that is dropped, and not all of it is flushed.
fn history(setup: &Setup, fragmented: bool) -> Vec<Operation> {
    let unit = setup.cluster_size();
    let mut history = vec![
        Operation::Write { offset: 0, length: setup.size / 3, seed: 11 },
        Operation::Write { offset: setup.size / 2, length: setup.size / 4, seed: 12 },
        Operation::Write { offset: setup.size - 10, length: 10, seed: 13 },
    ];
    if fragmented {
        history.extend([
            Operation::Discard { offset: unit, length: 5 * unit },
            Operation::Flush,
            Operation::Write { offset: 3 * unit, length: 2 * unit + 7, seed: 14 },
            Operation::Zeroes { offset: 0, length: unit / 2, unmap: false },
        ]);
    }
    history
}

/// Runs the operation until it has waited for `requests` requests, and drops it; whether it had completed.
fn drop_after(setup: &Setup, fragmented: bool, operation: &Operation, requests: u32, landing: Landing) -> bool {
    let what = || format!("{setup:?}: {operation:?} dropped after {requests} requests, {landing:?}");
    let mut random = Random::seeded(7);
    let (machine, mut disk) = setup.make(&mut random);
    let image = setup.open(&machine).unwrap();
    for operation in history(setup, fragmented) {
        now(operation.run(&image)).unwrap();
        operation.apply(&mut disk, || part_of(&now(whole(&image)).unwrap(), &operation)).unwrap();
    }
    let completed = {
        machine.hold(true);
        let mut tasks = Tasks::default();
        let (asked, image) = (operation.clone(), image.clone());
        let done = tasks.spawn(async move { asked.run(&image).await });
        tasks.run();
        for _ in 0..requests {
            complete_all(&machine, &mut random);
            tasks.run();
        }
        tasks.cancel(0);
        done.take().is_some_and(|result| result.is_ok())
    };
    // Another request, of a place nearby, while what was dropped may still land; it takes what is free.
    let other = Operation::Write { offset: setup.size - 3 * setup.cluster_size(), length: 700, seed: 21 };
    let contents_before = {
        machine.hold(false);
        machine.land_dropped(landing);
        let before = now(whole(&image)).unwrap();
        now(other.run(&image)).unwrap();
        before
    };
    for id in machine.dropped() {
        machine.settle_as(id, landing);
    }
    now(image.flush()).unwrap();
    let mut expected = [disk.clone(), after(operation, &disk), contents_before];
    for disk in &mut expected {
        other.apply(disk, Vec::new).unwrap();
    }
    compare(&now(whole(&image)).unwrap(), &expected, &what());
    // What was freed is taken again, and nobody minds.
    let last = Operation::Write { offset: 10 * 512, length: setup.size / 4, seed: 22 };
    now(last.run(&image)).unwrap();
    for disk in &mut expected {
        last.apply(disk, Vec::new).unwrap();
    }
    let contents = now(whole(&image)).unwrap();
    compare(&contents, &expected, &what());
    now(image.close()).unwrap();
    let findings = machine.with_files(|files| check(&files[IMAGE]));
    assert_eq!(findings.exit_code(), 0, "{}: {findings}", what());
    let reopened = now(whole(&setup.open_to_read(&machine).unwrap())).unwrap();
    assert!(reopened == contents, "{}: the disk is another when it is opened again", what());
    completed
}

fn complete_all(machine: &Machine, random: &mut Random) {
    for (id, _) in machine.waiting() {
        machine.complete(id, random);
    }
}

/// The disk as the operation would make it; what it discards as zeros.
fn after(operation: &Operation, disk: &[u8]) -> Vec<u8> {
    let mut after = disk.to_vec();
    let zeros = || vec![0; operation.range().map_or(0, |(_, length)| index(length))];
    operation.apply(&mut after, zeros).expect("zeros are right");
    after
}

fn compare(found: &[u8], expected: &[Vec<u8>], what: &str) {
    let wrong = (0..found.len()).find(|at| expected.iter().all(|expected| expected[*at] != found[*at]));
    assert_eq!(wrong, None, "{what}: a byte is neither as before nor as written");
}

fn every_request_at_every_await(fragmented: bool) {
    let mut drops = 0;
    for setup in setups() {
        for operation in operations(&setup) {
            for landing in [Landing::Nothing, Landing::Torn(3), Landing::Everything] {
                let completed = |requests: &u32| drop_after(&setup, fragmented, &operation, *requests, landing);
                let needed = (0..1000).find(completed);
                drops += needed.unwrap_or_else(|| panic!("{setup:?}: {operation:?} never ends"));
            }
        }
    }
    println!("{drops} drops");
}

#[test]
fn every_request_at_every_await_where_the_file_has_no_holes() {
    every_request_at_every_await(false);
}

#[test]
fn every_request_at_every_await_where_the_file_has_holes() {
    every_request_at_every_await(true);
}

/// A compressed cluster may reach into a host cluster whose refcount is in another block, which has to be read first: nothing leaks
/// where the request is dropped meanwhile.
#[test]
fn compressed_clusters_that_reach_into_another_refcount_block() {
    let setup = Setup { refcount_bits: 64, table_cache: 0, ..Setup::plain(9, 200 * 512) };
    // More host clusters than one refcount block counts.
    let operation = Operation::Compressed { offset: 0, length: 180 * 512, seed: 5 };
    let completed = |requests: &u32| drop_after(&setup, false, &operation, *requests, Landing::Nothing);
    let needed = (0..5000).find(completed).expect("it ends");
    println!("{needed} drops");
}
