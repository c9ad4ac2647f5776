//! Random lives of images, against a model, with QEMU looking on and taking part.
//!
//! `LIFE_RUNS` is how many images there are, `LIFE_SEED` repeats one.

use qcow2_web::DiffExtent;

use crate::common::index;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now, whole};
use crate::common::secret::{PASSPHRASE, secret};
use crate::rig::checker::check;
use crate::rig::life::{LifeMix, Model, Step};
use crate::rig::machine::Machine;
use crate::rig::operation::Operation;
use crate::rig::setup::{Cipher, DataFile, IMAGE, Setup, put};

const RUNS: u64 = 40;
const STEPS: usize = 120;
/// One structural step in so many is shown to QEMU.
const SHOWN_TO_QEMU: u64 = 12;

struct Run {
    setup: Setup,
    random: Random,
    machine: Machine,
    image: qcow2_web::Image<crate::rig::machine::File>,
    mix: LifeMix,
    model: Model,
    lab: Lab,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (bits, clusters) = random.pick(&[(9, 150), (9, 30), (10, 60), (12, 30), (14, 9), (16, 6)]);
        let encryption =
            random.pick(&[None, None, Some(Cipher::LegacyAes), Some(Cipher::LuksXts), Some(Cipher::LuksCbcEssiv)]);
        let setup = Setup { snapshot: false, encryption, ..Setup::random(bits, clusters, &mut random) };
        let (machine, disk) = setup.make(&mut random);
        let image = setup.open(&machine).unwrap();
        Self { mix: LifeMix::of(&setup), setup, random, machine, image, model: Model::new(disk), lab: Lab::new() }
    }

    fn live(&mut self) {
        for number in 0..STEPS {
            let step = self.mix.pick(&self.model, self.setup.version, number, &mut self.random);
            let what = format!("{:?}: step {number} {step:?}", self.setup);
            now(step.run(&self.image)).unwrap_or_else(|error| panic!("{what}: {error}"));
            self.model
                .apply(&step, || now(whole(&self.image)).unwrap())
                .unwrap_or_else(|fault| panic!("{what}: {fault}"));
            if let Step::Guest(Operation::Reopen { table_cache }) = step {
                self.setup.table_cache = table_cache;
                self.image = self.setup.open(&self.machine).unwrap();
            }
            assert_same(&now(whole(&self.image)).unwrap(), &self.model.disk, &what);
            if step.is_structural() {
                self.model.has_these_snapshots(&self.image).unwrap_or_else(|fault| panic!("{what}: {fault}"));
                self.differs_where_it_says(&what);
                let findings = self.machine.with_files(|files| check(&files[IMAGE]));
                assert_eq!(findings.exit_code(), 0, "{what}: {findings}");
                assert_eq!(findings.leaks_past_end, 0, "{what}");
                if self.random.one_in(SHOWN_TO_QEMU) {
                    self.show_to_qemu(&what);
                }
            }
        }
        now(self.image.close()).unwrap();
        self.show_to_qemu("at the end");
    }

    /// Outside of what is said to differ the disk is as the snapshots are.
    fn differs_where_it_says(&self, what: &str) {
        for shot in &self.model.snapshots {
            let view = self.image.open_snapshot(&shot.name).unwrap();
            let mut diff = self.image.diff(&view).unwrap();
            let mut at = 0;
            while let Some(DiffExtent { start, length }) = now(diff.next()).unwrap() {
                let same = at..index(start);
                assert!(self.model.disk[same.clone()] == shot.disk[same], "{what}: up to {start}, and {shot:?}");
                at = index(start + length);
            }
            // What one has more than the other differs.
            let end = self.model.disk.len().min(shot.disk.len());
            assert!(
                self.model.disk[at.min(end)..end] == shot.disk[at.min(end)..end],
                "{what}: from {at} on, and {shot:?}"
            );
        }
    }

    /// QEMU finds the same; and does something of its own with the image.
    fn show_to_qemu(&mut self, what: &str) {
        now(self.image.close()).unwrap();
        put(&self.lab, &self.machine.files());
        self.qemu_img("check", &["-q"]);
        assert_same(&self.seen_by_qemu(&[]), &self.model.disk, &format!("{what}: to QEMU"));
        for shot in &self.model.snapshots {
            let contents = self.seen_by_qemu(&["-l", &format!("snapshot.name={}", shot.name)]);
            let length = contents.len().min(shot.disk.len());
            assert_same(&contents[..length], &shot.disk[..length], &format!("{what}: {shot:?} to QEMU"));
        }
        if self.setup.data_file == DataFile::None {
            self.let_qemu();
            self.qemu_img("check", &["-q"]);
            let mut files = self.machine.files();
            files[IMAGE] = self.lab.bytes("image");
            self.machine = Machine::new(files);
        }
        self.image = self.setup.open(&self.machine).unwrap();
        assert_same(&now(whole(&self.image)).unwrap(), &self.model.disk, &format!("{what}: after QEMU"));
        self.model.has_these_snapshots(&self.image).unwrap_or_else(|fault| panic!("{what}: after QEMU: {fault}"));
    }

    fn let_qemu(&mut self) {
        let one = (!self.model.snapshots.is_empty()).then(|| self.random.pick(&self.model.snapshots).name);
        let room = self.model.snapshots.len() < self.mix.most_snapshots;
        let step = match (self.random.below(3), one) {
            (0, Some(name)) => Step::Delete(name),
            // QEMU adds the references before it takes others away, for which there may be no room in between.
            (1, Some(name)) if room => Step::Apply(name),
            _ if room => Step::Take { name: format!("q{}", self.random.next()), vm_state: 0, seed: 0 },
            _ => return,
        };
        let command = match &step {
            Step::Take { name, .. } => ["-c", name],
            Step::Apply(name) => ["-a", name],
            Step::Delete(name) => ["-d", name],
            _ => return,
        };
        self.qemu_img("snapshot", &command);
        self.model.apply(&step, Vec::new).unwrap();
    }

    /// The contents of the disk or, by the arguments, of a snapshot.
    fn seen_by_qemu(&self, arguments: &[&str]) -> Vec<u8> {
        self.qemu_img_to("convert", &[&["-O", "raw"], arguments].concat(), &["contents"]);
        self.lab.bytes("contents")
    }

    fn qemu_img(&self, command: &str, arguments: &[&str]) {
        self.qemu_img_to(command, arguments, &[]);
    }

    /// Runs `qemu-img` on the image, with its passphrase if it has one.
    fn qemu_img_to(&self, command: &str, arguments: &[&str], output: &[&str]) {
        let [object, secret] = secret(PASSPHRASE);
        let image = self.setup.image_options();
        self.lab.qemu_img(&[&[command, &object, &secret], arguments, &["--image-opts", &image], output].concat());
    }
}

#[test]
fn random_lives() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let runs = number("LIFE_RUNS").unwrap_or(RUNS);
    for seed in number("LIFE_SEED").map_or(0..runs, |seed| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| Run::new(seed).live());
        if let Err(cause) = outcome {
            eprintln!("the image that failed: LIFE_SEED={seed}");
            std::panic::resume_unwind(cause);
        }
    }
}
