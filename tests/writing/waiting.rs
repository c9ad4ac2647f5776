//! Who waits for whom. The data of the backing file are a long time coming; ticks are counted, not seconds.

use qcow2_web::Image;

use crate::common::executor::{Handle, Tasks};
use crate::common::index;
use crate::common::random::Random;
use crate::common::reading::{now, range, whole};
use crate::rig::machine::{File, Machine, Request};
use crate::rig::operation::Operation;
use crate::rig::setup::{BACKING, Backing, Setup};

const UNIT: u64 = 4096;
const TICKS: u32 = 100;

/// An image over a backing file that doesn't answer.
struct Scene {
    machine: Machine,
    image: Image<File>,
    disk: Vec<u8>,
    tasks: Tasks<'static>,
    random: Random,
}

impl Scene {
    /// With the first eight clusters written, and nothing cached.
    fn new(setup: &Setup) -> Self {
        let (machine, mut disk) = setup.make(&mut Random::seeded(1));
        let image = setup.open(&machine).unwrap();
        let first = Operation::Write { offset: 0, length: 8 * UNIT, seed: 1 };
        now(first.run(&image)).unwrap();
        first.apply(&mut disk, Vec::new).unwrap();
        now(image.close()).unwrap();
        let image = setup.open(&machine).unwrap();
        machine.hold(true);
        Self { machine, image, disk, tasks: Tasks::default(), random: Random::seeded(2) }
    }

    fn standard() -> Self {
        let size = 64 * UNIT;
        let backing = Some(Backing { qcow2: false, size });
        Self::new(&Setup { backing, ..Setup::plain(UNIT.trailing_zeros(), size) })
    }

    /// Asks for the operation.
    fn ask(&mut self, operation: Operation) -> Handle<bool> {
        operation.apply(&mut self.disk, || vec![0; index(operation.range().unwrap().1)]).unwrap();
        let image = self.image.clone();
        self.tasks.spawn(async move { operation.run(&image).await.is_ok() })
    }

    /// Everything but the backing file answers.
    fn tick(&mut self) {
        self.tasks.run();
        for (id, request) in self.machine.waiting() {
            if !matches!(request, Request::Read { file: BACKING, .. }) {
                self.machine.complete(id, &mut self.random);
            }
        }
        self.tasks.run();
    }

    fn ticks(&mut self) {
        (0..TICKS).for_each(|_| self.tick());
    }

    /// Now the backing file answers too.
    fn finish(mut self) {
        self.ticks();
        for _ in 0..TICKS {
            self.machine.waiting().into_iter().for_each(|(id, _)| self.machine.complete(id, &mut self.random));
            self.tasks.run();
        }
        assert_eq!(self.tasks.unfinished(), 0, "all requests end");
        self.machine.hold(false);
        assert!(now(whole(&self.image)).unwrap() == self.disk, "contents");
        now(self.image.close()).unwrap();
    }
}

/// A part of a cluster that isn't there: what is around it comes from the backing file.
fn part_of(cluster: u64) -> Operation {
    Operation::Write { offset: cluster * UNIT + 1000, length: 100, seed: cluster }
}

fn all_of(cluster: u64) -> Operation {
    Operation::Write { offset: cluster * UNIT, length: UNIT, seed: cluster }
}

#[test]
fn others_go_on_while_one_waits_for_its_backing_data() {
    let mut scene = Scene::standard();
    let waits = scene.ask(part_of(20));
    scene.ticks();
    assert!(!waits.is_done());
    let others = [
        all_of(21),
        all_of(40),
        Operation::Write { offset: 5, length: 3 * UNIT, seed: 3 },
        Operation::Zeroes { offset: 30 * UNIT, length: UNIT, unmap: false },
        Operation::Discard { offset: 7 * UNIT, length: UNIT },
        Operation::Compressed { offset: 50 * UNIT, length: UNIT, seed: 5 },
        Operation::Flush,
    ];
    for operation in others {
        let what = format!("{operation:?}");
        let done = scene.ask(operation);
        scene.ticks();
        assert_eq!(done.take(), Some(true), "{what} waits for another request's data");
    }
    let image = scene.image.clone();
    let read = scene.tasks.spawn(async move { range(&image, 0, 6 * UNIT).await.is_ok() });
    scene.ticks();
    assert_eq!(read.take(), Some(true), "a read waits for another request's data");
    assert!(!waits.is_done());
    scene.finish();
}

#[test]
fn two_wait_for_their_backing_data_at_once() {
    let mut scene = Scene::standard();
    let both = [scene.ask(part_of(20)), scene.ask(part_of(45))];
    scene.ticks();
    let asked = scene.machine.waiting();
    let of_backing = asked.iter().filter(|(_, request)| matches!(request, Request::Read { file: BACKING, .. }));
    assert!(of_backing.count() >= 2, "{asked:?}");
    assert!(both.iter().all(|handle| !handle.is_done()));
    scene.finish();
}

#[test]
fn requests_to_the_same_cluster_wait() {
    let mut scene = Scene::standard();
    let first = scene.ask(part_of(20));
    scene.ticks();
    let second = scene.ask(Operation::Write { offset: 20 * UNIT, length: 500, seed: 9 });
    scene.ticks();
    assert!(!first.is_done() && !second.is_done());
    scene.finish();
}

#[test]
fn who_waits_for_a_dropped_request_goes_on() {
    let mut scene = Scene::standard();
    let before = scene.disk.clone();
    scene.ask(part_of(20));
    scene.ticks();
    scene.disk = before;
    let second = scene.ask(all_of(20));
    scene.ticks();
    assert!(!second.is_done());
    scene.tasks.cancel(0);
    scene.ticks();
    assert_eq!(second.take(), Some(true));
    scene.finish();
}

#[test]
fn a_dropped_request_that_waited_in_line_lets_the_next_one_go_on() {
    let mut scene = Scene::standard();
    scene.ask(part_of(20));
    scene.ticks();
    let before = scene.disk.clone();
    scene.ask(all_of(20));
    scene.disk = before;
    let third = scene.ask(Operation::Write { offset: 20 * UNIT + 3, length: 5, seed: 77 });
    scene.ticks();
    scene.tasks.cancel(1);
    scene.ticks();
    assert!(!third.is_done(), "the first holds the cluster still");
    scene.finish();
}
