//! Each write, barrier and change of size fails once, over a whole workload; so does each read; and the disk is full at
//! each point.

use qcow2_web::{Error, Image, Misuse};

use crate::common::index;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::rig::checker::check;
use crate::rig::history::{Changes, History, changes};
use crate::rig::machine::{Event, Failure, Fault, File, Landing, Machine};
use crate::rig::operation::{Operation, part_of};
use crate::rig::replay::{Loss, Replay};
use crate::rig::setup::{Backing, DataFile, IMAGE, Setup};

/// An image and what is asked of it.
struct Workload {
    setup: Setup,
    files: Vec<Vec<u8>>,
    contents: Vec<u8>,
    operations: Vec<Operation>,
    /// By operation: what it changes where nothing fails.
    changes: Vec<Changes>,
    changes_asked: u64,
    reads_asked: u64,
}

/// How far a run came.
struct Stopped {
    machine: Machine,
    image: Option<Image<File>>,
    /// The operation that failed, and why; `None` where all went well.
    failure: Option<(usize, Error<Failure>)>,
}

impl Workload {
    fn new(seed: u64, setup: Setup, count: usize) -> Self {
        let mut random = Random::seeded(seed);
        let (machine, contents) = setup.make(&mut random);
        let mut mix = setup.mix();
        (mix.flushes, mix.reopens) = (4, 12);
        let operations: Vec<_> = (0..count).map(|_| mix.pick(&mut random)).chain([Operation::Flush]).collect();
        let mut workload = Self {
            files: machine.files(),
            setup,
            contents,
            operations,
            changes: Vec::new(),
            changes_asked: 0,
            reads_asked: 0,
        };
        workload.learn();
        workload
    }

    /// Runs it with no fault.
    fn learn(&mut self) {
        let machine = Machine::new(self.files.clone());
        let (mut image, mut disk) = (self.setup.open(&machine).unwrap(), self.contents.clone());
        for operation in &self.operations {
            now(operation.run(&image)).unwrap();
            let before = disk.clone();
            operation.apply(&mut disk, || part_of(&now(whole(&image)).unwrap(), operation)).unwrap();
            self.changes.push(changes(&before, &disk));
            if let Operation::Reopen { .. } = operation {
                image = self.setup.open(&machine).unwrap();
            }
        }
        let stopped = self.run(None, None);
        (self.changes_asked, self.reads_asked) = (stopped.machine.counts().changes, stopped.machine.counts().reads);
    }

    /// Runs it until something fails.
    fn run(&self, fault: Option<Fault>, limit: Option<u64>) -> Stopped {
        let machine = Machine::new(self.files.clone());
        machine.fail(fault);
        machine.limit_size(limit);
        let mut image = match self.setup.open(&machine) {
            Ok(image) => image,
            Err(error) => return Stopped { machine, image: None, failure: Some((0, error)) },
        };
        for (number, operation) in self.operations.iter().enumerate() {
            machine.note(2 * number);
            if let Err(error) = now(operation.run(&image)) {
                return Stopped { machine, image: Some(image), failure: Some((number, error)) };
            }
            if matches!(operation, Operation::Flush | Operation::Reopen { .. }) {
                machine.note(2 * number + 1);
            }
            if let Operation::Reopen { .. } = operation {
                image = match self.setup.open(&machine) {
                    Ok(image) => image,
                    Err(error) => return Stopped { machine, image: None, failure: Some((number, error)) },
                };
            }
        }
        Stopped { machine, image: Some(image), failure: None }
    }

    fn a_change_fails(&self, fault: Fault) {
        let stopped = self.run(Some(fault), None);
        let (number, error) = stopped.failure.as_ref().expect("it fails");
        let what = format!("{:?}: {fault:?}, in operation {number} {:?}", self.setup, self.operations[*number]);
        assert!(matches!(error, Error::Storage(Failure::Injected)), "{what}: {error:?}");
        self.is_no_worse_than_after_a_crash(&stopped, &what);
        if !self.goes_on(&stopped, &what) {
            // Only after a barrier that failed nobody knows what is durable.
            assert!(stopped.machine.has_failed_barrier(), "{what}");
        }
    }

    fn the_disk_is_full(&self, limit: u64) -> bool {
        let stopped = self.run(None, Some(limit));
        let Some((number, error)) = &stopped.failure else { return false };
        let what = format!("{:?}: full at {limit}, in operation {number} {:?}", self.setup, self.operations[*number]);
        assert!(matches!(error, Error::Storage(Failure::NoSpace)), "{what}: {error:?}");
        self.is_no_worse_than_after_a_crash(&stopped, &what);
        if stopped.image.is_some() {
            assert!(self.goes_on(&stopped, &what), "{what}: there is room again");
        }
        true
    }

    /// The same handle is used on: nothing that was acknowledged is lost, and nothing is leaked. False if it refuses
    /// writes.
    fn goes_on(&self, stopped: &Stopped, what: &str) -> bool {
        let Some(image) = &stopped.image else { return true };
        stopped.machine.fail(None);
        stopped.machine.limit_size(None);
        match now(image.flush()) {
            Ok(()) => {}
            Err(Error::Misuse(Misuse::Poisoned)) => {
                stopped.machine.forbid_changes();
                refuses_writes(image, &self.setup, what);
                return false;
            }
            Err(error) => panic!("{what}: flushed: {error:?}"),
        }
        let mut disk = now(whole(image)).expect("reads go on");
        let again = Operation::Write { offset: 0, length: self.setup.size / 2, seed: 3 };
        now(again.run(image)).unwrap_or_else(|error| panic!("{what}: written on: {error:?}"));
        again.apply(&mut disk, Vec::new).unwrap();
        now(image.close()).unwrap();
        let findings = stopped.machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!(findings.exit_code(), 0, "{what}: written on: {findings}");
        let reopened = self.setup.open(&stopped.machine).unwrap();
        assert!(now(whole(&reopened)).unwrap() == disk, "{what}: written on");
        true
    }

    /// Reads go on; and whatever is lost of what was not flushed, the rest is there.
    fn is_no_worse_than_after_a_crash(&self, stopped: &Stopped, what: &str) {
        let log = stopped.machine.take_log();
        let history = self.history(&log);
        if let Some(image) = &stopped.image {
            let contents = now(whole(image)).expect("reads go on");
            assert_eq!(history.first_fault(&contents), None, "{what}: what can still be read");
        }
        let mut random = Random::seeded(log.len() as u64);
        let mut replay = Replay::new(self.files.clone());
        for event in &log {
            replay.step(event);
        }
        let views = replay.views();
        for loss in [Loss::OnlyUnderWay, Loss::One, Loss::Some, Loss::TornEnd, Loss::Torn] {
            replay.show(loss, &mut random);
            let findings = views[IMAGE].with(check);
            assert!(findings.problems.is_empty(), "{what}: {loss:?}: {findings}");
            let image = self.setup.open_storages(&views).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(history.first_fault(&now(whole(&image)).unwrap()), None, "{what}: {loss:?}");
            replay.restore();
        }
        self.can_be_written_again(stopped, what);
    }

    /// What the disk may hold, from the notes in the log.
    fn history(&self, log: &[Event]) -> History {
        let mut history = History::new(&self.contents);
        for event in log {
            match event {
                Event::Note(note) if note % 2 == 0 => history.change(&self.changes[note / 2]),
                Event::Note(_) => history.flushed(),
                _ => {}
            }
        }
        history
    }

    fn can_be_written_again(&self, stopped: &Stopped, what: &str) {
        let machine = Machine::new(stopped.machine.files());
        let image = self.setup.open(&machine).unwrap_or_else(|error| panic!("{what}: opened again: {error}"));
        let mut disk = now(whole(&image)).unwrap();
        let again = Operation::Write { offset: 0, length: self.setup.size, seed: 1 };
        now(again.run(&image)).unwrap();
        again.apply(&mut disk, Vec::new).unwrap();
        now(image.close()).unwrap();
        let findings = machine.with_files(|files| check(&files[IMAGE]));
        assert!(findings.problems.is_empty(), "{what}: written again: {findings}");
        assert!(now(whole(&image)).unwrap() == disk, "{what}: written again");
    }

    /// A read that fails is an error of one request, and nothing else.
    fn a_read_fails(&self, number: u64) {
        let machine = Machine::new(self.files.clone());
        machine.fail(Some(Fault::Read(number)));
        let what = |operation: &Operation| format!("{:?}: read {number}, in {operation:?}", self.setup);
        let mut disk = self.contents.clone();
        let mut image = opened(&self.setup, &machine);
        for operation in &self.operations {
            let result = now(operation.run(&image));
            let found = machine.aside(|| now(whole(&image))).expect("only one read fails");
            match result {
                Ok(()) => {
                    operation.apply(&mut disk, || part_of(&found, operation)).unwrap();
                    assert!(found == disk, "{}: contents", what(operation));
                }
                Err(error) => {
                    assert!(is_injected(&error), "{}: {error:?}", what(operation));
                    let mut after = disk.clone();
                    operation.apply(&mut after, || vec![0; length(operation)]).unwrap();
                    let is_either = |at: usize| found[at] == disk[at] || found[at] == after[at];
                    assert!((0..found.len()).all(is_either), "{}: neither as before nor as written", what(operation));
                    disk = found;
                }
            }
            if let Operation::Reopen { .. } = operation {
                // It may be the closing that has failed.
                now(image.close()).or_else(|_| now(image.close())).expect("only one read fails");
                image = opened(&self.setup, &machine);
            }
        }
        now(image.close()).or_else(|_| now(image.close())).expect("only one read fails");
        // Looking at the disk after each operation leaves more in the caches: there may have been fewer reads.
        machine.fail(None);
        let findings = machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!(findings.exit_code(), 0, "{:?}: read {number}: closed: {findings}", self.setup);
        assert!(now(whole(&opened(&self.setup, &machine))).unwrap() == disk, "{:?}: read {number}: closed", self.setup);
    }
}

/// Of the image, or of the backing file under it.
fn is_injected(error: &Error<Failure>) -> bool {
    match error {
        Error::InBacking { source, .. } => is_injected(source),
        error => matches!(error, Error::Storage(Failure::Injected)),
    }
}

fn opened(setup: &Setup, machine: &Machine) -> Image<File> {
    setup.open(machine).or_else(|_| setup.open(machine)).expect("only one read fails")
}

fn refuses_writes(image: &Image<File>, setup: &Setup, what: &str) {
    let unit = setup.cluster_size().min(setup.size);
    let requests = [
        Operation::Write { offset: 0, length: 1, seed: 1 },
        Operation::Write { offset: 0, length: setup.size, seed: 1 },
        Operation::Zeroes { offset: 0, length: unit, unmap: true },
        Operation::Discard { offset: 0, length: unit },
        Operation::Flush,
        Operation::Reopen { table_cache: 0 },
    ];
    for request in requests {
        let refused = now(request.run(image));
        assert!(matches!(refused, Err(Error::Misuse(Misuse::Poisoned))), "{what}: then {request:?}: {refused:?}");
    }
}

fn length(operation: &Operation) -> usize {
    operation.range().map_or(0, |(_, length)| index(length))
}

/// Small images of every kind that matters to the order of writes.
fn workloads() -> Vec<Workload> {
    let small = Setup { table_cache: 0, ..Setup::plain(9, 80 * 512) };
    let backing = Some(Backing { qcow2: true, size: 60 * 512 });
    let setups = [
        small.clone(),
        Setup { table_cache: 4 << 20, ..small.clone() },
        Setup { backing, ..small.clone() },
        Setup { version: 2, snapshot: true, table_cache: 2048, ..small.clone() },
        Setup { refcount_bits: 64, table_cache: 2048, ..small.clone() },
        Setup { refcount_bits: 1, ..small.clone() },
        Setup { data_file: DataFile::Raw, ..small.clone() },
        Setup { data_file: DataFile::Plain, backing, ..small },
        Setup { extended_l2: true, backing, ..Setup::plain(14, 3 << 14) },
        Setup { zstd: true, ..Setup::plain(12, 20 << 12) },
        Setup::plain(16, 3 << 16),
    ];
    setups.into_iter().zip(1..).map(|(setup, seed)| Workload::new(seed, setup, 30)).collect()
}

#[test]
fn each_change_fails_once() {
    let mut faults = 0;
    for workload in workloads() {
        for number in 1..=workload.changes_asked {
            for landing in [Landing::Nothing, Landing::Torn(number), Landing::Everything] {
                workload.a_change_fails(Fault::Change(number, landing));
                faults += 1;
            }
        }
    }
    println!("{faults} faults");
}

#[test]
fn each_read_fails_once() {
    let mut faults = 0;
    for workload in workloads() {
        for number in 1..=workload.reads_asked {
            workload.a_read_fails(number);
            faults += 1;
        }
    }
    println!("{faults} faults");
}

#[test]
fn the_disk_is_full_at_each_point() {
    let mut faults = 0;
    for workload in workloads() {
        let length = |files: &[Vec<u8>]| files.iter().map(|file| file.len() as u64).max().unwrap_or(0);
        let (first, last) = (length(&workload.files), workload.run(None, None).machine.with_files(length));
        let step = (workload.setup.cluster_size() / 4).max(512) + 100;
        for limit in (first..last).step_by(index(step)) {
            faults += u64::from(workload.the_disk_is_full(limit));
        }
    }
    assert!(faults > 100, "{faults} faults");
    println!("{faults} faults");
}
