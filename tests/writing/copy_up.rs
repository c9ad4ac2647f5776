//! Images that become independent of their backing file, with QEMU on the other side. What runs at the same time, crashes and
//! dropped requests are the other tests' matter: copying is among their operations.

use qcow2_web::{Error, Image, Misuse, OpenOptions, Preallocation, WithoutBacking};

use crate::common::executor::Tasks;
use crate::common::index;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now, whole};
use crate::rig::machine::{File, Machine, Request};
use crate::rig::operation::Operation;
use crate::rig::setup::{BACKING, Backing, DataFile, IMAGE, Setup, put};

/// An image over a backing file, written to here and there.
struct Scene {
    setup: Setup,
    machine: Machine,
    image: Image<File>,
    disk: Vec<u8>,
}

impl Scene {
    fn new(setup: Setup, seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (machine, mut disk) = setup.make(&mut random);
        let image = setup.open(&machine).unwrap();
        for _ in 0..10 {
            let operation = setup.mix().pick(&mut random);
            now(operation.run(&image)).unwrap();
            operation.apply(&mut disk, || now(whole(&image)).unwrap()[range_of(&operation)].to_vec()).unwrap();
        }
        Self { setup, machine, image, disk }
    }

    /// Removes the backing file's name, and lets both sides read the image without the file.
    fn leaves_its_backing_file(&self) {
        let what = format!("{:?}", self.setup);
        now(self.image.remove_backing()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(now(self.image.info()).unwrap().backing_file, None, "{what}");
        assert_same(&now(whole(&self.image)).unwrap(), &self.disk, &what);
        now(self.image.close()).unwrap();
        let lab = Lab::new();
        let mut files = self.machine.files();
        files[BACKING].clear();
        put(&lab, &files);
        if self.setup.encryption.is_some() {
            lab.check_encrypted("image");
        } else {
            lab.check("image");
            assert_same(&lab.contents("image"), &self.disk, &format!("{what}: by QEMU"));
        }
        let alone = Setup { backing: None, ..self.setup.clone() };
        let opened = alone.open_to_read(&Machine::new(files)).unwrap();
        assert_same(&now(whole(&opened)).unwrap(), &self.disk, &format!("{what}: opened alone"));
    }
}

fn range_of(operation: &Operation) -> std::ops::Range<usize> {
    let (offset, length) = operation.range().unwrap();
    index(offset)..index(offset + length)
}

#[test]
fn every_kind_of_image() {
    for seed in 0..60 {
        let mut random = Random::seeded(seed);
        let (bits, clusters) = random.pick(&[(9, 300), (12, 60), (14, 20), (16, 12), (21, 2)]);
        let mut setup = Setup::random(bits, clusters, &mut random);
        setup.snapshot = false;
        if !setup.extended_l2 {
            setup.preallocation = Preallocation::Off;
        }
        if setup.data_file == DataFile::Raw {
            continue;
        }
        let backing_size = random.pick(&[setup.size, setup.size / 2, setup.size * 2]) / 512 * 512;
        setup.backing = Some(Backing { qcow2: random.one_in(2), size: backing_size });
        let mut scene = Scene::new(setup, seed);
        // In pieces of any length.
        let mut at = 0;
        while at < scene.setup.size {
            let length = (1 + random.below(4 * scene.setup.cluster_size())).min(scene.setup.size - at);
            now(scene.image.copy_up(at, length)).unwrap();
            at += length;
        }
        // What is written then is in the image alone.
        let operation = Operation::Write { offset: scene.setup.size / 2, length: 100, seed };
        now(operation.run(&scene.image)).unwrap();
        operation.apply(&mut scene.disk, Vec::new).unwrap();
        scene.leaves_its_backing_file();
    }
}

#[test]
fn a_write_meanwhile_stays() {
    const UNIT: u64 = 4096;
    let size = 64 * UNIT;
    let setup = Setup { backing: Some(Backing { qcow2: false, size }), ..Setup::plain(UNIT.trailing_zeros(), size) };
    let mut random = Random::seeded(1);
    let (machine, mut disk) = setup.make(&mut random);
    let image = setup.open(&machine).unwrap();
    machine.hold(true);
    let mut tasks = Tasks::default();
    let copier = image.clone();
    let done = tasks.spawn(async move { copier.copy_up(0, size).await.is_ok() });
    let written: Vec<_> = [3 * UNIT + 5, 20 * UNIT, 63 * UNIT]
        .map(|offset| Operation::Write { offset, length: 2000, seed: offset })
        .into_iter()
        .map(|operation| {
            operation.apply(&mut disk, Vec::new).unwrap();
            let image = image.clone();
            tasks.spawn(async move { operation.run(&image).await.is_ok() })
        })
        .collect();
    // The backing file's answer is on its way while they are asked for.
    tasks.run();
    let asked = machine.waiting();
    assert!(asked.iter().any(|(_, request)| matches!(request, Request::Read { file: BACKING, .. })), "{asked:?}");
    while tasks.unfinished() > 0 {
        let waiting = machine.waiting();
        let (id, _) = random.pick(&waiting);
        machine.complete(id, &mut random);
        tasks.run();
    }
    machine.hold(false);
    assert_eq!(done.take(), Some(true));
    assert!(written.iter().all(|write| write.take() == Some(true)));
    Scene { setup, machine, image, disk }.leaves_its_backing_file();
}

#[test]
fn zeros_take_no_room() {
    let size = 64 << 16;
    let setup = Setup { backing: Some(Backing { qcow2: false, size }), ..Setup::plain(16, size) };
    let machine = setup.make_empty(&mut Random::seeded(1));
    let mut files = machine.files();
    files[BACKING].fill(0);
    let machine = Machine::new(files);
    let image = setup.open(&machine).unwrap();
    now(image.copy_up(0, size)).unwrap();
    now(image.close()).unwrap();
    let length = machine.files()[IMAGE].len();
    assert!(length <= 6 << 16, "{length} bytes for zeros");
    Scene { setup, machine, image, disk: vec![0; index(size)] }.leaves_its_backing_file();
}

#[test]
fn a_backing_file_that_is_needed_stays() {
    let needed = |image: &Image<File>| {
        let refused = now(image.remove_backing());
        assert!(matches!(refused, Err(Error::Misuse(Misuse::BackingNeeded))), "{refused:?}");
    };
    let size = 40 << 12;
    let setup = Setup { backing: Some(Backing { qcow2: false, size }), ..Setup::plain(12, size) };
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.copy_up(0, size - 5000)).unwrap();
    needed(&image);
    now(image.close()).unwrap();
    drop(image);
    // Nobody knows what the file has.
    let options = OpenOptions::new().backing(WithoutBacking);
    let blind = now(Image::open_writable(machine.file(IMAGE), options)).unwrap();
    now(blind.copy_up(0, size)).unwrap();
    needed(&blind);
    now(blind.close()).unwrap();
    drop(blind);
    let setup = Setup { snapshot: true, ..setup };
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.copy_up(0, size)).unwrap();
    needed(&image);
}
