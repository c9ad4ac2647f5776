//! Each change of an image as a whole dropped at each of its awaits: the image is as before, or as after, and can be
//! written as any other.

use qcow2_web::Preallocation;

use crate::common::executor::Tasks;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::rig::checker::check;
use crate::rig::life::{Model, Step};
use crate::rig::machine::{Landing, Machine};
use crate::rig::operation::Operation;
use crate::rig::setup::{Backing, IMAGE, Setup};

fn setups() -> Vec<Setup> {
    let plain = Setup { table_cache: 0, ..Setup::plain(9, 100 * 512 + 512) };
    vec![
        plain.clone(),
        Setup { refcount_bits: 64, ..plain.clone() },
        Setup { backing: Some(Backing { qcow2: false, size: 200 * 512 }), ..plain },
        Setup { extended_l2: true, table_cache: 0, ..Setup::plain(14, 5 << 14) },
    ]
}

fn take(name: &str, vm_state: u64) -> Step {
    Step::Take { name: name.into(), vm_state, seed: 3 }
}

/// What is done before, and not all of it flushed.
fn history(setup: &Setup) -> Vec<Step> {
    let write = |offset, length, seed| Step::Guest(Operation::Write { offset, length, seed });
    let unit = setup.cluster_size();
    vec![
        write(0, setup.size / 3, 11),
        take("a", 3000),
        write(setup.size / 4, setup.size / 3, 12),
        Step::Guest(Operation::Compressed { offset: 2 * unit, length: 2 * unit, seed: 13 }),
        take("b", 0),
        Step::Guest(Operation::Discard { offset: 0, length: setup.size / 8 }),
        write(setup.size - 10, 10, 14),
    ]
}

fn steps(setup: &Setup) -> Vec<Step> {
    let resize = |size, preallocation| Step::Resize { size, preallocation };
    vec![
        take("c", 0),
        take("c", 1500),
        Step::Apply("a".into()),
        Step::Delete("a".into()),
        Step::Delete("b".into()),
        Step::Rename("a".into(), "another".into()),
        Step::Compact { detect_zeroes: true },
        resize(setup.size / 1024 * 512, Preallocation::Off),
        resize(2 * setup.size, Preallocation::Off),
        resize(setup.size + 3 * setup.cluster_size(), Preallocation::Full),
    ]
}

/// Runs the step until it has waited for `requests` requests, and drops it; whether it had completed.
fn drop_after(setup: &Setup, step: &Step, requests: u32, landing: Landing) -> bool {
    let what = || format!("{setup:?}: {step:?} dropped after {requests} requests, {landing:?}");
    let mut random = Random::seeded(7);
    let (machine, disk) = setup.make(&mut random);
    let image = setup.open(&machine).unwrap();
    let mut before = Model::new(disk);
    for step in history(setup) {
        now(step.run(&image)).unwrap();
        before.apply(&step, || now(whole(&image)).unwrap()).unwrap();
    }
    let mut after = before.clone();
    after.apply(step, Vec::new).unwrap();
    let completed = {
        machine.hold(true);
        let mut tasks = Tasks::default();
        let (asked, image) = (step.clone(), image.clone());
        let done = tasks.spawn(async move { asked.run(&image).await });
        tasks.run();
        for _ in 0..requests {
            for (id, _) in machine.waiting() {
                machine.complete(id, &mut random);
            }
            tasks.run();
        }
        tasks.cancel(0);
        done.take().is_some_and(|result| result.is_ok())
    };
    machine.hold(false);
    machine.land_dropped(landing);
    let mut model = if completed { after } else { before };
    assert!(now(whole(&image)).unwrap() == model.disk, "{}: the disk", what());
    // While what was dropped may still land.
    let others = [
        Step::Guest(Operation::Write { offset: 1000, length: 700, seed: 21 }),
        Step::Guest(Operation::Flush),
        take("d", 0),
        Step::Guest(Operation::Write { offset: 0, length: model.disk.len() as u64, seed: 22 }),
    ];
    for other in others {
        now(other.run(&image)).unwrap_or_else(|error| panic!("{}: then {other:?}: {error}", what()));
        model.apply(&other, Vec::new).unwrap();
    }
    for id in machine.dropped() {
        machine.settle_as(id, landing);
    }
    now(image.close()).unwrap();
    for image in [image, setup.open_to_read(&Machine::new(machine.files())).unwrap()] {
        model.has_these_snapshots(&image).unwrap_or_else(|fault| panic!("{}: {fault}", what()));
        assert!(now(whole(&image)).unwrap() == model.disk, "{}: the disk in the end", what());
    }
    let findings = machine.with_files(|files| check(&files[IMAGE]));
    assert_eq!(findings.exit_code(), 0, "{}: {findings}", what());
    completed
}

#[test]
fn every_change_at_every_await() {
    let mut drops = 0;
    for setup in setups() {
        for step in steps(&setup) {
            for landing in [Landing::Nothing, Landing::Torn(3), Landing::Everything] {
                let needed = (0..2000).find(|requests| drop_after(&setup, &step, *requests, landing));
                drops += needed.unwrap_or_else(|| panic!("{setup:?}: {step:?} never ends"));
            }
        }
    }
    println!("{drops} drops");
}
