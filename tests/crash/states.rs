//! Every storage write of a workload is recorded; then the file is rebuilt as a crash may leave it: after each write,
//! and with some of the writes since the last barrier lost, torn or reordered.
//!
//! `CRASH_STATES` is how many states there are to be, at least; `CRASH_SEED` repeats one workload.

use std::process::Command;

use crate::common::index;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::rig::checker::{Findings, check};
use crate::rig::history::{Changes, History, changes};
use crate::rig::machine::{Event, Machine};
use crate::rig::operation::{Operation, TABLE_CACHES};
use crate::rig::replay::{Loss, Replay, View};
use crate::rig::setup::{IMAGE, Setup, put};

/// How many states there are by default, over all tests of this file.
const STATES: u64 = 110_000;
const TESTS: u64 = 10;
/// One state in so many is shown to QEMU as well, and one in so many is written to.
const SHOWN_TO_QEMU: u64 = 400;
const WRITTEN_TO: u64 = 16;

/// A workload that ran, and its record.
struct Recorded {
    setup: Setup,
    files: Vec<Vec<u8>>,
    contents: Vec<u8>,
    operations: Vec<Operation>,
    /// By operation: what it changed.
    changes: Vec<Changes>,
    log: Vec<Event>,
}

#[derive(Debug, Default)]
struct Tally {
    workloads: u64,
    operations: u64,
    states: u64,
    leaking: u64,
    most_leaks: u64,
    shown_to_qemu: u64,
    written_to: u64,
}

/// What a note in the log says: an operation begins, or it was a flush and has ended.
const BEGINS: usize = 0;
const FLUSHED: usize = 1;

impl Recorded {
    /// On any image with clusters of that size.
    fn any(seed: u64, cluster_bits: u32, clusters: u64, count: usize) -> Self {
        let mut random = Random::seeded(seed);
        let setup = Setup::random(cluster_bits, clusters, &mut random);
        Self::with(setup, random, count)
    }

    /// On an image each request to which is durable when it has ended.
    fn written_through(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (bits, clusters) = random.pick(&[(9, 60), (10, 40), (12, 20), (14, 8), (16, 4)]);
        let setup = Setup { write_through: true, ..Setup::random(bits, clusters, &mut random) };
        Self::with(setup, random, 50)
    }

    fn with(setup: Setup, mut random: Random, count: usize) -> Self {
        let (machine, contents) = setup.make(&mut random);
        let mix = setup.mix();
        let operations = (0..count).map(|_| mix.pick(&mut random)).chain([Operation::Flush]).collect();
        Self::record(setup, &machine, contents, operations)
    }

    /// On an image whose refcount table has one cluster, and is full soon: a block of 512 bytes counts 64 clusters when
    /// a count has 64 bits, and 64 blocks are what the table has room for.
    fn growing_table(seed: u64) -> Self {
        const FULL: u64 = 3770 * 512;
        let mut random = Random::seeded(seed);
        let table_cache = random.pick(&TABLE_CACHES);
        let setup = Setup { refcount_bits: 64, table_cache, ..Setup::plain(9, 4100 * 512) };
        let (machine, mut contents) = setup.make(&mut random);
        let image = setup.open(&machine).expect("a new image opens");
        let noise = random.noise(index(FULL));
        now(image.write_at(0, &noise)).expect("it can be written");
        now(image.close()).expect("it can be closed");
        contents[..index(FULL)].copy_from_slice(&noise);
        let (mut operations, mut at) = (Vec::new(), FULL);
        while at < setup.size {
            let length = (512 + random.below(20 * 512)).min(setup.size - at);
            operations.push(Operation::Write { offset: at, length, seed: random.next() });
            at += length;
            match random.below(6) {
                0 => operations.push(Operation::Flush),
                1 => operations.push(Operation::Discard { offset: random.below(FULL), length: 2048 }),
                2 => {
                    operations.push(Operation::Write { offset: random.below(FULL), length: 2048, seed: random.next() });
                }
                _ => {}
            }
        }
        operations.push(Operation::Flush);
        let table_before = machine.with_files(|files| refcount_table(&files[IMAGE]));
        let recorded = Self::record(setup, &machine, contents, operations);
        let table_after = machine.with_files(|files| refcount_table(&files[IMAGE]));
        assert!(table_before != table_after, "the table has moved");
        recorded
    }

    fn record(setup: Setup, machine: &Machine, contents: Vec<u8>, operations: Vec<Operation>) -> Self {
        machine.take_log();
        let files = machine.files();
        let mut image = setup.open(machine).expect("the image opens");
        let (mut disk, mut all_changes) = (contents.clone(), Vec::new());
        for (number, operation) in operations.iter().enumerate() {
            machine.note(2 * number + BEGINS);
            now(operation.run(&image)).unwrap_or_else(|error| panic!("{setup:?}: {operation:?}: {error}"));
            let before = disk.clone();
            operation.apply(&mut disk, || read(&image, operation)).unwrap_or_else(|fault| panic!("{setup:?}: {fault}"));
            all_changes.push(changes(&before, &disk));
            match operation {
                Operation::Flush => machine.note(2 * number + FLUSHED),
                Operation::Reopen { table_cache } => {
                    machine.note(2 * number + FLUSHED);
                    let findings = machine.with_files(|files| check(&files[IMAGE]));
                    assert_eq!(findings.exit_code(), 0, "{setup:?}: closed: {findings}");
                    image = Setup { table_cache: *table_cache, ..setup.clone() }.open(machine).expect("it opens again");
                }
                _ if setup.write_through => machine.note(2 * number + FLUSHED),
                _ => {}
            }
        }
        assert!(now(whole(&image)).unwrap() == disk, "{setup:?}: contents before any crash");
        Self { setup, files, contents, operations, changes: all_changes, log: machine.take_log() }
    }

    /// Looks at every prefix of the record, and at `samples` other states of each.
    fn crash(&self, samples: usize, tally: &mut Tally, random: &mut Random) {
        let mut history = History::new(&self.contents);
        let mut replay = Replay::new(self.files.clone());
        let views = replay.views();
        for (position, event) in self.log.iter().enumerate() {
            replay.step(event);
            if let Event::Note(note) = event {
                match note % 2 {
                    BEGINS => history.change(&self.changes[note / 2]),
                    _ => history.flushed(),
                }
                continue;
            }
            let losses = [Loss::OnlyUnderWay].into_iter().chain((0..samples).map(|_| random.pick(&Loss::RANDOM)));
            for loss in losses.collect::<Vec<_>>() {
                if replay.show(loss, random) {
                    let result = self.examine(&views, &history, tally, random);
                    if let Err(fault) = result {
                        self.report(position, loss, &fault);
                    }
                }
                replay.restore();
            }
        }
        tally.workloads += 1;
        tally.operations += self.operations.len() as u64;
    }

    fn report(&self, position: usize, loss: Loss, fault: &str) -> ! {
        let begun = self.log[..position].iter().rev().find_map(|event| match event {
            Event::Note(note) => Some(note / 2),
            _ => None,
        });
        let setup = &self.setup;
        match begun {
            Some(number) => {
                panic!(
                    "{setup:?}: event {position}, {loss:?}, in operation {number} {:?}: {fault}",
                    self.operations[number]
                )
            }
            None => panic!("{setup:?}: event {position}, {loss:?}, while opening: {fault}"),
        }
    }

    fn examine(&self, views: &[View], history: &History, tally: &mut Tally, random: &mut Random) -> Result<(), String> {
        let findings = views[IMAGE].with(check);
        if !findings.problems.is_empty() {
            return Err(findings.to_string());
        }
        let image = self.setup.open_storages(views).map_err(|error| format!("it doesn't open: {error}"))?;
        let contents = now(whole(&image)).map_err(|error| format!("it can't be read: {error}"))?;
        if let Some(sector) = history.first_fault(&contents) {
            let versions = history.versions(sector);
            return Err(format!("sector {sector} of the disk is none of its {versions} versions"));
        }
        if self.setup.snapshot && random.one_in(4) {
            let snapshot = image.open_snapshot("before").map_err(|error| format!("the snapshot: {error}"))?;
            let held = now(whole(&snapshot)).map_err(|error| format!("the snapshot can't be read: {error}"))?;
            if held != self.contents {
                return Err("the snapshot holds something else".into());
            }
        }
        tally.states += 1;
        tally.leaking += u64::from(findings.leaks > 0);
        tally.most_leaks = tally.most_leaks.max(findings.leaks);
        if random.one_in(SHOWN_TO_QEMU) {
            tally.shown_to_qemu += 1;
            let qemu = exit_code_of_check(&views[IMAGE].files());
            if qemu != findings.exit_code() {
                return Err(format!("qemu-img check says {qemu}, this one {findings}"));
            }
        }
        if random.one_in(WRITTEN_TO) {
            tally.written_to += 1;
            self.go_on(views[IMAGE].files(), contents, &findings, random)?;
        }
        Ok(())
    }

    /// The image found after the crash can be written as any other, and nothing gets worse.
    fn go_on(
        &self,
        files: Vec<Vec<u8>>,
        mut disk: Vec<u8>,
        before: &Findings,
        random: &mut Random,
    ) -> Result<(), String> {
        let machine = Machine::new(files);
        let image = self.setup.open(&machine).map_err(|error| format!("it can't be written: {error}"))?;
        let mut mix = self.setup.mix();
        mix.reopens = u64::MAX;
        for _ in 0..4 {
            let operation = mix.pick(random);
            now(operation.run(&image)).map_err(|error| format!("afterwards {operation:?}: {error}"))?;
            operation.apply(&mut disk, || read(&image, &operation))?;
        }
        now(image.close()).map_err(|error| format!("afterwards, closing: {error}"))?;
        let after = machine.with_files(|files| check(&files[IMAGE]));
        if !after.problems.is_empty() || after.leaks + after.leaks_past_end > before.leaks + before.leaks_past_end {
            return Err(format!("before writing {before}, afterwards {after}"));
        }
        if now(whole(&image)).unwrap() != disk {
            return Err("written afterwards, the disk is wrong".into());
        }
        Ok(())
    }
}

fn read(image: &qcow2_web::Image<crate::rig::machine::File>, operation: &Operation) -> Vec<u8> {
    let (offset, length) = operation.range().expect("a discard has a range");
    now(crate::common::reading::range(image, offset, length)).expect("what was discarded can be read")
}

fn exit_code_of_check(files: &[Vec<u8>]) -> i32 {
    let lab = Lab::new();
    put(&lab, files);
    let mut command = Command::new("qemu-img");
    let output = command.args(["check", "-q", "-f", "qcow2", "image"]).current_dir(lab.folder()).output();
    output.expect("qemu-img runs").status.code().expect("it wasn't killed")
}

/// Where the refcount table is, by the header.
fn refcount_table(image: &[u8]) -> Vec<u8> {
    image[48..60].to_vec()
}

/// Workloads until there are enough states.
fn crash_states(what: &str, samples: usize, record: impl Fn(u64) -> Recorded) {
    let wanted = number_from_environment("CRASH_STATES").unwrap_or(STATES).div_ceil(TESTS);
    let first = number_from_environment("CRASH_SEED");
    let mut tally = Tally::default();
    for number in 0.. {
        let seed = first.unwrap_or(number);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            record(seed).crash(samples, &mut tally, &mut Random::seeded(!seed));
        }));
        if let Err(cause) = outcome {
            eprintln!("the workload that failed: CRASH_SEED={seed}");
            std::panic::resume_unwind(cause);
        }
        if first.is_some() || tally.states >= wanted {
            break;
        }
    }
    println!("{what}: {tally:?}");
    assert!(first.is_some() || tally.leaking > 0, "crashes leak, or nothing was lost");
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// A test for each cluster size, so that they run side by side.
macro_rules! clusters {
    ($($name:ident: $count:literal clusters of 2 to the $bits:literal, $operations:literal operations;)*) => {
        $(
            #[test]
            fn $name() {
                crash_states(stringify!($name), 5, |seed| Recorded::any(seed, $bits, $count, $operations));
            }
        )*
    };
}

clusters! {
    small_disk: 24 clusters of 2 to the 9, 100 operations;
    clusters_of_512: 200 clusters of 2 to the 9, 60 operations;
    clusters_of_1k: 80 clusters of 2 to the 10, 60 operations;
    clusters_of_2k: 40 clusters of 2 to the 11, 60 operations;
    clusters_of_4k: 24 clusters of 2 to the 12, 60 operations;
    clusters_of_16k: 10 clusters of 2 to the 14, 60 operations;
    clusters_of_32k: 6 clusters of 2 to the 15, 60 operations;
    clusters_of_64k: 5 clusters of 2 to the 16, 60 operations;
}

#[test]
fn written_through() {
    crash_states("written through", 5, Recorded::written_through);
}

#[test]
fn refcount_table_that_grows() {
    crash_states("refcount table that grows", 5, Recorded::growing_table);
}
