//! Crashes and faults in lives of images: snapshots taken, applied, deleted and renamed, disks resized.
//!
//! `LIFE_STATES` is how many states there are to be, at least; `LIFE_SEED` repeats one workload.

use std::ops::ControlFlow;

use qcow2_web::{Error, Image, Misuse};

use super::expected::Expected;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::common::secret::{PASSPHRASE, secret};
use crate::rig::checker::check;
use crate::rig::history::{Changes, changes};
use crate::rig::life::{LifeMix, Model, Step};
use crate::rig::machine::{Event, Failure, Fault, File, Landing, Machine};
use crate::rig::operation::Operation;
use crate::rig::replay::{Loss, Replay, View};
use crate::rig::setup::{IMAGE, Setup, put};

const STATES: u64 = 20_000;
/// One state in so many is shown to QEMU as well, and one in so many goes on living.
const SHOWN_TO_QEMU: u64 = 300;
const GOES_ON: u64 = 16;

/// A life that was recorded.
struct Recorded {
    setup: Setup,
    files: Vec<Vec<u8>>,
    before: Model,
    steps: Vec<Step>,
    /// By step: what it made of the image, and what it changed of the disk.
    after: Vec<(Model, Changes)>,
    log: Vec<Event>,
    changes_asked: u64,
    reads_asked: u64,
}

#[derive(Debug, Default)]
struct Tally {
    lives: u64,
    steps: u64,
    states: u64,
    leaking: u64,
    shown_to_qemu: u64,
    went_on: u64,
}

/// Which step, and why.
type Failed = (usize, Error<Failure>);

const BEGINS: usize = 0;
const DURABLE: usize = 1;

impl Recorded {
    fn new(seed: u64, setup: Setup, count: usize) -> Self {
        let mut random = Random::seeded(seed);
        let (machine, disk) = setup.make(&mut random);
        machine.take_log();
        machine.forget_counts();
        let files = machine.files();
        let mut image = setup.open(&machine).unwrap();
        let mix = LifeMix { structural: 2, ..LifeMix::of(&setup) };
        let before = Model::new(disk);
        let mut model = before.clone();
        let (mut steps, mut after) = (Vec::new(), Vec::new());
        for number in 0..count {
            let step = mix.pick(&model, setup.version, number, &mut random);
            machine.note(2 * number + BEGINS);
            now(step.run(&image)).unwrap_or_else(|error| panic!("{setup:?}: {step:?}: {error}"));
            if is_durable(&step) {
                machine.note(2 * number + DURABLE);
            }
            let disk = model.disk.clone();
            model.apply(&step, || machine.aside(|| now(whole(&image)).unwrap())).unwrap();
            let changes = if step.is_structural() { Changes::new() } else { changes(&disk, &model.disk) };
            if let Step::Guest(Operation::Reopen { .. }) = step {
                image = setup.open(&machine).unwrap();
            }
            after.push((model.clone(), changes));
            steps.push(step);
        }
        let counts = machine.counts();
        let log = machine.take_log();
        Self { setup, files, before, steps, after, log, changes_asked: counts.changes, reads_asked: counts.reads }
    }

    fn any(seed: u64, count: usize) -> Self {
        let mut random = Random::seeded(!seed);
        let (bits, clusters) = random.pick(&[(9, 120), (9, 20), (10, 40), (12, 16), (14, 6)]);
        let setup = Setup { snapshot: false, ..Setup::random(bits, clusters, &mut random) };
        Self::new(seed, setup, count)
    }

    fn hear(&self, event: &Event, expected: &mut Expected) -> bool {
        let Event::Note(note) = event else { return false };
        let (after, changes) = &self.after[note / 2];
        match note % 2 {
            BEGINS => expected.begin(&self.steps[note / 2], changes, after),
            _ => expected.durable(),
        }
        true
    }

    fn crash(&self, tally: &mut Tally, random: &mut Random) {
        let mut expected = Expected::new(self.before.clone());
        let mut replay = Replay::new(self.files.clone());
        let views = replay.views();
        for (position, event) in self.log.iter().enumerate() {
            replay.step(event);
            if self.hear(event, &mut expected) {
                continue;
            }
            for loss in [Loss::OnlyUnderWay, random.pick(&Loss::RANDOM), random.pick(&Loss::RANDOM)] {
                if replay.show(loss, random) {
                    self.examine(&views, &expected, tally, random).unwrap_or_else(|fault| {
                        panic!("{}: event {position}, {loss:?}: {fault}", self.where_is(position));
                    });
                }
                replay.restore();
            }
        }
        tally.lives += 1;
        tally.steps += self.steps.len() as u64;
    }

    fn where_is(&self, position: usize) -> String {
        let begun = self.log[..position].iter().rev().find_map(|event| match event {
            Event::Note(note) => Some(format!("step {} {:?}", note / 2, self.steps[note / 2])),
            _ => None,
        });
        format!("{:?}: {}", self.setup, begun.unwrap_or_default())
    }

    fn examine(
        &self,
        views: &[View],
        expected: &Expected,
        tally: &mut Tally,
        random: &mut Random,
    ) -> Result<(), String> {
        let findings = views[IMAGE].with(check);
        if !findings.problems.is_empty() {
            return Err(findings.to_string());
        }
        let image = self.setup.open_storages(views).map_err(|error| format!("it doesn't open: {error}"))?;
        expected.check(&image)?;
        tally.states += 1;
        tally.leaking += u64::from(findings.leaks > 0);
        if random.one_in(SHOWN_TO_QEMU) {
            tally.shown_to_qemu += 1;
            let qemu = exit_code_of_check(&self.setup, &views[IMAGE].files());
            if qemu != findings.exit_code() {
                return Err(format!("qemu-img check says {qemu}, this one {findings}"));
            }
        }
        if random.one_in(GOES_ON) {
            tally.went_on += 1;
            go_on(&self.setup, views[IMAGE].files(), random)?;
        }
        Ok(())
    }

    /// Lives it again with that fault, until something fails.
    fn fail(&self, fault: Fault) {
        let machine = Machine::new(self.files.clone());
        machine.fail(Some(fault));
        let (image, failed) = self.live(&machine);
        let (number, error) = failed.expect("something fails");
        let what = || format!("{:?}: {fault:?}, in step {number} {:?}", self.setup, self.steps[number]);
        assert!(is_injected(&error), "{}: {error:?}", what());
        let log = machine.take_log();
        let mut expected = Expected::new(self.before.clone());
        let mut replay = Replay::new(self.files.clone());
        for event in &log {
            replay.step(event);
            self.hear(event, &mut expected);
        }
        if let Some(image) = &image {
            expected.check(image).unwrap_or_else(|fault| panic!("{}: what can still be read: {fault}", what()));
            if machine.has_failed_barrier() {
                machine.forbid_changes();
                refuses_changes(image, &what());
            } else {
                let disk = now(whole(image)).unwrap();
                now(image.close()).unwrap_or_else(|error| panic!("{}: then closed: {error:?}", what()));
                let findings = machine.with_files(|files| check(&files[IMAGE]));
                assert_eq!(findings.exit_code(), 0, "{}: then closed: {findings}", what());
                let reopened = self.setup.open(&machine).unwrap();
                assert!(now(whole(&reopened)).unwrap() == disk, "{}: then closed", what());
            }
        }
        let (mut tally, mut random) = (Tally::default(), Random::seeded(log.len() as u64));
        let views = replay.views();
        for loss in [Loss::OnlyUnderWay, Loss::One, Loss::Some, Loss::TornEnd, Loss::Torn] {
            replay.show(loss, &mut random);
            let result = self.examine(&views, &expected, &mut tally, &mut random);
            result.unwrap_or_else(|fault| panic!("{}: {loss:?}: {fault}", what()));
            replay.restore();
        }
    }

    fn live(&self, machine: &Machine) -> (Option<Image<File>>, Option<Failed>) {
        let mut image = match self.setup.open(machine) {
            Ok(image) => image,
            Err(error) => return (None, Some((0, error))),
        };
        for (number, step) in self.steps.iter().enumerate() {
            machine.note(2 * number + BEGINS);
            if let Err(error) = now(step.run(&image)) {
                return (Some(image), Some((number, error)));
            }
            if is_durable(step) {
                machine.note(2 * number + DURABLE);
            }
            if let Step::Guest(Operation::Reopen { .. }) = step {
                image = match self.setup.open(machine) {
                    Ok(image) => image,
                    Err(error) => return (None, Some((number, error))),
                };
            }
        }
        (Some(image), None)
    }

    /// A read that fails is an error of one step, and nothing else.
    fn fail_a_read(&self, number: u64) {
        let machine = Machine::new(self.files.clone());
        machine.fail(Some(Fault::Read(number)));
        let (image, failed) = self.live(&machine);
        let Some((number, error)) = failed else { return };
        let what = || format!("{:?}: a read fails in step {number} {:?}", self.setup, self.steps[number]);
        assert!(is_injected(&error), "{}: {error:?}", what());
        let Some(image) = image else { return };
        if self.steps[number].is_structural() {
            let before = number.checked_sub(1).map_or(&self.before, |before| &self.after[before].0);
            before.has_these_snapshots(&image).unwrap_or_else(|fault| panic!("{}: {fault}", what()));
            let disk = now(whole(&image)).unwrap();
            // Emptying may have done its work, and failed to truncate the file.
            let is_empty = self.steps[number] == Step::Empty && disk.iter().all(|byte| *byte == 0);
            assert!(disk == before.disk || is_empty, "{}: the disk is another", what());
            // It can be asked for once more; a VM state is where it was.
            now(self.steps[number].run(&image)).unwrap_or_else(|error| panic!("{}: again: {error}", what()));
            let after = &self.after[number].0;
            after.has_these_snapshots(&image).unwrap_or_else(|fault| panic!("{}: again: {fault}", what()));
            assert!(now(whole(&image)).unwrap() == after.disk, "{}: again: the disk is another", what());
        }
        now(image.close()).unwrap();
        let findings = machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!(findings.exit_code(), 0, "{}: {findings}", what());
    }
}

/// After the crash a life goes on, and nothing gets worse.
fn go_on(setup: &Setup, files: Vec<Vec<u8>>, random: &mut Random) -> Result<(), String> {
    let before = check(&files[IMAGE]);
    let machine = Machine::new(files);
    let image = setup.open(&machine).map_err(|error| format!("it can't be written: {error}"))?;
    let mut model = Model::new(now(whole(&image)).unwrap());
    for snapshot in image.snapshots().iter() {
        let view = image.open_snapshot(&snapshot.id).unwrap();
        let mut vm_state = vec![0; usize::try_from(view.vm_state_size()).unwrap()];
        now(view.read_vm_state(0, &mut vm_state)).unwrap();
        let (name, disk) = (snapshot.name.clone(), now(whole(&view)).unwrap());
        model.snapshots.push(crate::rig::life::Shot { name, disk, vm_state });
    }
    let mut mix = LifeMix { structural: 2, ..LifeMix::of(setup) };
    mix.guest.reopens = u64::MAX;
    for number in 1000..1004 {
        let step = mix.pick(&model, setup.version, number, random);
        match now(step.run(&image)) {
            // What was leaked is counted too high.
            Err(Error::Misuse(Misuse::TooManyReferences { .. })) if before.leaks > 0 => continue,
            result => result.map_err(|error| format!("afterwards {step:?}: {error}"))?,
        }
        model.apply(&step, || now(whole(&image)).unwrap())?;
        model.has_these_snapshots(&image).map_err(|fault| format!("afterwards {step:?}: {fault}"))?;
    }
    now(image.close()).map_err(|error| format!("afterwards, closing: {error}"))?;
    let after = machine.with_files(|files| check(&files[IMAGE]));
    if !after.problems.is_empty() || after.leaks + after.leaks_past_end > before.leaks + before.leaks_past_end {
        return Err(format!("before going on {before}, afterwards {after}"));
    }
    if now(whole(&image)).unwrap() != model.disk {
        return Err("afterwards, the disk is wrong".into());
    }
    Ok(())
}

fn refuses_changes(image: &Image<File>, what: &str) {
    let silent = |_| ControlFlow::Continue(());
    let options = qcow2_web::SnapshotOptions::new("late");
    let refusals = [
        now(image.create_snapshot(&options, silent)).map(drop),
        now(image.resize(1 << 20, &qcow2_web::ResizeOptions::new())),
        now(image.apply_snapshot("1", silent)),
        now(image.delete_snapshot("1", silent)),
        now(image.rename_snapshot("1", "x")),
        now(image.write_vm_state(0, &[1])),
    ];
    for refusal in refusals {
        let is_right = matches!(
            refusal,
            Err(Error::Misuse(Misuse::Poisoned | Misuse::SnapshotsWithDataFile | Misuse::TooManyReferences { .. }))
        );
        assert!(is_right, "{what}: {refusal:?}");
    }
}

/// Of the image, or of the backing file under it.
fn is_injected(error: &Error<Failure>) -> bool {
    match error {
        Error::InBacking { source, .. } => is_injected(source),
        error => matches!(error, Error::Storage(Failure::Injected)),
    }
}

fn is_durable(step: &Step) -> bool {
    step.is_structural() || matches!(step, Step::Guest(Operation::Flush | Operation::Reopen { .. }))
}

fn exit_code_of_check(setup: &Setup, files: &[Vec<u8>]) -> i32 {
    let lab = Lab::new();
    put(&lab, files);
    let ([object, secret], image) = (secret(PASSPHRASE), setup.image_options());
    let output = lab.run("qemu-img", &["check", "-q", &object, &secret, "--image-opts", &image]);
    output.status.code().expect("it wasn't killed")
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn crash_states() {
    let wanted = number_from_environment("LIFE_STATES").unwrap_or(STATES);
    let first = number_from_environment("LIFE_SEED");
    let mut tally = Tally::default();
    for number in 0.. {
        let seed = first.unwrap_or(number);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            Recorded::any(seed, 30).crash(&mut tally, &mut Random::seeded(seed));
        }));
        if let Err(cause) = outcome {
            eprintln!("the life that failed: LIFE_SEED={seed}");
            std::panic::resume_unwind(cause);
        }
        if first.is_some() || tally.states >= wanted {
            break;
        }
    }
    println!("{tally:?}");
}

fn lives() -> impl Iterator<Item = Recorded> {
    let small = Setup { table_cache: 0, ..Setup::plain(9, 40 * 512) };
    let setups = [
        small.clone(),
        Setup { refcount_bits: 64, ..Setup::plain(9, 60 * 512) },
        Setup { refcount_bits: 2, ..small.clone() },
        Setup { version: 2, ..small },
        Setup { extended_l2: true, ..Setup::plain(14, 3 << 14) },
    ];
    setups.into_iter().zip(1..).map(|(setup, seed)| Recorded::new(seed, setup, 24))
}

#[test]
fn each_change_fails_once() {
    let mut faults = 0;
    for life in lives() {
        for number in 1..=life.changes_asked {
            for landing in [Landing::Nothing, Landing::Torn(number), Landing::Everything] {
                life.fail(Fault::Change(number, landing));
                faults += 1;
            }
        }
    }
    println!("{faults} faults");
}

#[test]
fn each_read_fails_once() {
    let mut faults = 0;
    for life in lives() {
        for number in 1..=life.reads_asked {
            life.fail_a_read(number);
            faults += 1;
        }
    }
    println!("{faults} faults");
}
