//! Every storage write of a workload is recorded; then the file is rebuilt as a crash may leave it: after each write,
//! and with some of the writes since the last barrier lost, torn or reordered.
//!
//! `CRASH_TIMES=10` looks at ten times as many states; `CRASH_SEED` repeats one workload.

use std::process::Command;

use crate::common::index;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::common::secret::{PASSPHRASE, options, secret};
use crate::rig::checker::{Findings, Problem, check};
use crate::rig::history::{Changes, History, changes};
use crate::rig::machine::{Event, Machine};
use crate::rig::operation::{Operation, TABLE_CACHES};
use crate::rig::replay::{Loss, Replay, View};
use crate::rig::setup::{IMAGE, LUKS, Setup, put};

/// How many states are looked at beside each prefix.
const SAMPLES: usize = 5;
/// One state in so many is shown to QEMU as well, and one in so many is written to.
const SHOWN_TO_QEMU: u64 = 400;
const WRITTEN_TO: u64 = 16;
/// The bit of the header that says that counts may be wrong.
const DIRTY: (usize, u8) = (79, 1);

/// A workload that ran, and its record.
struct Recorded {
    setup: Setup,
    files: Vec<Vec<u8>>,
    /// What the disk holds at first, durably.
    contents: Vec<u8>,
    /// What it held when the snapshot was taken, where there is one.
    in_snapshot: Vec<u8>,
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

    /// On an image that is encrypted by LUKS: each sector by its place in the file.
    fn luks(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (bits, clusters) = random.pick(&[(9, 60), (10, 40), (12, 20), (14, 8), (16, 4)]);
        let any = Setup::random(bits, clusters, &mut random);
        let setup = Setup { encryption: Some(random.pick(&LUKS)), snapshot: false, ..any };
        Self::with(setup, random, 40)
    }

    /// On an image that was not closed by a program that writes counts late: opening it rebuilds them.
    fn dirty(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (bits, clusters) = random.pick(&[(9, 120), (10, 40), (12, 20), (14, 8), (16, 4)]);
        let setup = Setup { version: 3, ..Setup::random(bits, clusters, &mut random) };
        let (machine, in_snapshot) = setup.make(&mut random);
        let (image, mut contents) = (setup.open(&machine).expect("the image opens"), in_snapshot.clone());
        for _ in 0..8 {
            let operation = setup.mix().pick(&mut random);
            now(operation.run(&image)).expect("it can be written");
            operation.apply(&mut contents, || read(&image, &operation)).expect("it does what it should");
        }
        now(image.close()).expect("it can be closed");
        let mut files = machine.files();
        lose_counts(&mut files[IMAGE], &mut random);
        let operations = (0..6).map(|_| setup.mix().pick(&mut random)).chain([Operation::Flush]).collect();
        Self { in_snapshot, ..Self::record(setup, &Machine::new(files), contents, operations) }
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
        let in_snapshot = contents.clone();
        Self { setup, files, contents, in_snapshot, operations, changes: all_changes, log: machine.take_log() }
    }

    /// Looks at every prefix of the record, and at some other states of each.
    fn crash(&self, tally: &mut Tally, random: &mut Random) {
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
            let losses = [Loss::OnlyUnderWay].into_iter().chain((0..SAMPLES).map(|_| random.pick(&Loss::RANDOM)));
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
        let is_dirty = views[IMAGE].with(|image| image[DIRTY.0] & DIRTY.1 != 0);
        let is_known = |problem: &Problem| matches!(problem, Problem::TooLow { .. } | Problem::Copied { .. });
        if !findings.problems.iter().all(|problem| is_dirty && is_known(problem)) {
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
            if held != self.in_snapshot {
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
    let [object, secret] = secret(PASSPHRASE);
    let unlocked = options("image");
    // The header's `crypt_method`.
    let arguments = match files[IMAGE][32..36] {
        [0, 0, 0, 0] => vec!["-f", "qcow2", "image"],
        _ => vec![&*object, &secret, "--image-opts", &unlocked],
    };
    let output = command.args(["check", "-q"]).args(arguments).current_dir(lab.folder()).output();
    output.expect("qemu-img runs").status.code().expect("it wasn't killed")
}

/// Marks the image as dirty, and zeroes half of the words of its refcount blocks.
fn lose_counts(image: &mut [u8], random: &mut Random) {
    image[DIRTY.0] |= DIRTY.1;
    let word = |image: &[u8], at: usize| {
        image.get(at..at + 8).map_or(0, |word| index(u64::from_be_bytes(word.try_into().expect("eight bytes"))))
    };
    let cluster_size = 1 << image[23];
    let table = word(image, 48);
    for entry in (table..table + cluster_size).step_by(8) {
        let block = word(image, entry);
        for at in (block..block + cluster_size).step_by(8).filter(|_| block != 0) {
            if random.one_in(2)
                && let Some(word) = image.get_mut(at..at + 8)
            {
                word.fill(0);
            }
        }
    }
}

/// Where the refcount table is, by the header.
fn refcount_table(image: &[u8]) -> Vec<u8> {
    image[48..60].to_vec()
}

/// Workloads until there are so many states.
fn crash_states(what: &str, wanted: u64, record: impl Fn(u64) -> Recorded) {
    let wanted = wanted * number_from_environment("CRASH_TIMES").unwrap_or(1);
    let only = number_from_environment("CRASH_SEED");
    let mut tally = Tally::default();
    for number in 0.. {
        let seed = only.unwrap_or(number);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            record(seed).crash(&mut tally, &mut Random::seeded(!seed));
        }));
        if let Err(cause) = outcome {
            eprintln!("the workload that failed: CRASH_SEED={seed}");
            std::panic::resume_unwind(cause);
        }
        if only.is_some() || tally.states >= wanted {
            break;
        }
    }
    println!("{what}: {tally:?}");
    assert!(only.is_some() || tally.leaking > 0, "crashes leak, or nothing was lost");
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Tests that run side by side, each with its number of states.
macro_rules! crashes {
    ($($name:ident: $states:literal of $record:expr;)*) => {
        const STATES: u64 = 0 $(+ $states)*;
        const _: () = assert!(STATES >= 100_000, "so many are looked at each time");
        $(
            #[test]
            fn $name() {
                crash_states(stringify!($name), $states, $record);
            }
        )*
    };
}

crashes! {
    small_disk: 12_000 of |seed| Recorded::any(seed, 9, 24, 100);
    clusters_of_512: 12_000 of |seed| Recorded::any(seed, 9, 200, 60);
    clusters_of_1k: 12_000 of |seed| Recorded::any(seed, 10, 80, 60);
    clusters_of_2k: 12_000 of |seed| Recorded::any(seed, 11, 40, 60);
    clusters_of_4k: 12_000 of |seed| Recorded::any(seed, 12, 24, 60);
    clusters_of_8k: 6_000 of |seed| Recorded::any(seed, 13, 16, 60);
    clusters_of_16k: 12_000 of |seed| Recorded::any(seed, 14, 10, 60);
    clusters_of_32k: 6_000 of |seed| Recorded::any(seed, 15, 6, 60);
    clusters_of_64k: 12_000 of |seed| Recorded::any(seed, 16, 5, 60);
    clusters_of_128k_and_256k: 2_000 of |seed| Recorded::any(seed, 17 + (seed % 2) as u32, 3, 40);
    clusters_of_512k_to_2m: 1_000 of |seed| Recorded::any(seed, 19 + (seed % 3) as u32, 2, 20);
    written_through: 12_000 of Recorded::written_through;
    encrypted_by_luks: 6_000 of Recorded::luks;
    opened_dirty: 8_000 of Recorded::dirty;
    refcount_table_that_grows: 12_000 of Recorded::growing_table;
}
