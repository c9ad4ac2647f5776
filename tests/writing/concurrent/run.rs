//! One run: requests begin, end and are dropped in any order, and the file is looked at in between.

use qcow2_web::{Error, Image, Misuse};

use super::Style;
use crate::common::executor::{Handle, Tasks};
use crate::common::index;
use crate::common::random::Random;
use crate::common::reading::{now, range, whole};
use crate::rig::checker::check;
use crate::rig::machine::{Event, Failure, Fault, File, Landing, Machine};
use crate::rig::operation::{Mix, Operation};
use crate::rig::registers::{PutId, Registers};
use crate::rig::replay::{Loss, Replay, View};
use crate::rig::setup::{IMAGE, Setup};

/// What all runs of a test came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    runs: u64,
    requests: u64,
    dropped: u64,
    reads: u64,
    crashes: u64,
    failed: u64,
    most_at_once: usize,
}

pub(super) struct Run<'a> {
    setup: &'a Setup,
    style: Style,
    machine: Machine,
    image: Image<File>,
    mix: Mix,
    random: Random,
    time: u64,
    tasks: Tasks<'static>,
    spawned: usize,
    active: Vec<Active>,
    registers: Registers,
    replay: Replay,
    /// A change was told to fail; and the engine has heard of it.
    failed: Option<bool>,
    views: Vec<View>,
    tally: &'a mut Tally,
}

/// A request under way.
struct Active {
    task: usize,
    begin: u64,
    kind: Kind,
}

enum Kind {
    Put {
        id: PutId,
        operation: Operation,
        done: Handle<Result<(), Error<Failure>>>,
    },
    Flush {
        done: Handle<Result<(), Error<Failure>>>,
    },
    /// It changes nothing, whatever else is done to the same bytes.
    Unchanging {
        done: Handle<Result<(), Error<Failure>>>,
    },
    Read {
        offset: u64,
        done: Handle<Result<Vec<u8>, Error<Failure>>>,
    },
}

impl<'a> Run<'a> {
    pub(super) fn new(setup: &'a Setup, style: Style, mut random: Random, tally: &'a mut Tally) -> Self {
        let (machine, contents) = setup.make(&mut random);
        let image = setup.open(&machine).expect("a new image opens");
        machine.take_log();
        machine.hold(true);
        if style.overlaps {
            machine.allow_overlaps();
        }
        let replay = Replay::new(machine.files());
        Self {
            style,
            image,
            mix: Mix { longest: 2 * setup.cluster_size(), flushes: 8, reopens: u64::MAX, ..setup.mix() },
            random,
            time: 1,
            tasks: Tasks::default(),
            spawned: 0,
            active: Vec::new(),
            registers: Registers::new(contents),
            views: replay.views(),
            replay,
            failed: None,
            machine,
            setup,
            tally,
        }
    }

    pub(super) fn run(mut self) {
        let fails_at = self.random.below(if self.style.fails { 300 } else { 0 });
        let mut left = self.style.requests;
        while left > 0 || !self.active.is_empty() {
            self.time += 1;
            match self.random.below(12) {
                0..=3 if left > 0 && self.active.len() < self.style.at_once => {
                    self.begin();
                    left -= 1;
                }
                4 if self.style.drops && self.random.one_in(3) => self.drop_one(),
                5 => self.settle_one(),
                6 if self.style.crashes => self.crash(),
                _ => self.complete_one(),
            }
            self.tasks.run();
            if self.style.fails {
                self.fail(fails_at);
            }
            self.reap();
            if self.failed.is_none() && self.random.one_in(60) {
                self.quiesce();
            }
        }
        if self.failed.is_some() {
            return self.look_after_the_failure();
        }
        self.quiesce();
        self.close();
        self.tally.runs += 1;
    }

    /// Lets a change fail when it is time; once the engine has heard of a barrier that failed, it must ask for no other.
    fn fail(&mut self, at: u64) {
        match self.failed {
            None if self.time >= at => {
                let landing = self.random.pick(&[Landing::Nothing, Landing::Torn(self.time), Landing::Everything]);
                self.machine.fail(Some(Fault::NextChange(landing)));
                self.failed = Some(false);
            }
            Some(false) if self.machine.has_failed() => {
                if self.machine.has_failed_barrier() {
                    self.machine.forbid_changes();
                }
                self.failed = Some(true);
            }
            _ => {}
        }
    }

    fn look_after_the_failure(mut self) {
        for _ in 0..6 {
            self.crash();
        }
        self.tally.runs += 1;
        if self.failed == Some(true) {
            self.tally.failed += 1;
            self.machine.hold(false);
            if !self.machine.has_failed_barrier() {
                return self.close();
            }
            for operation in [Operation::Flush, self.mix.pick(&mut self.random), Operation::Reopen { table_cache: 0 }] {
                let refused = now(operation.run(&self.image));
                let poisoned = matches!(refused, Err(Error::Misuse(Misuse::Poisoned)));
                assert!(poisoned, "{}: {operation:?}: {refused:?}", self.describe());
            }
            let contents = now(whole(&self.image)).expect("reads go on");
            assert_eq!(self.registers.first_fault(0, &contents, self.time), None, "{}: reads go on", self.describe());
        }
    }

    /// Whether that is what comes of the failure.
    fn is_expected(&self, error: &Error<Failure>) -> bool {
        let heard = matches!(error, Error::Storage(Failure::Injected) | Error::Misuse(Misuse::Poisoned));
        heard && self.failed.is_some()
    }

    fn begin(&mut self) {
        let operation = self.mix.pick(&mut self.random);
        let is_read = self.random.one_in(4);
        if !self.style.overlaps && !is_read && self.meets_another(&operation) {
            return;
        }
        let task = self.spawned;
        self.spawned += 1;
        self.tally.requests += 1;
        let image = self.image.clone();
        let kind = match operation {
            Operation::Flush => Kind::Flush { done: self.tasks.spawn(async move { image.flush().await }) },
            Operation::CopyUp { offset, length } if !is_read => {
                Kind::Unchanging { done: self.tasks.spawn(async move { image.copy_up(offset, length).await }) }
            }
            Operation::Compact { .. } => {
                Kind::Unchanging { done: self.tasks.spawn(async move { operation.run(&image).await }) }
            }
            operation if is_read => {
                let (offset, length) = operation.range().expect("it is no flush");
                self.tally.reads += 1;
                Kind::Read { offset, done: self.tasks.spawn(async move { range(&image, offset, length).await }) }
            }
            operation => {
                let (offset, length) = operation.range().expect("it is no flush");
                let mut data = operation.data();
                data.resize(index(length), 0);
                let maybe = matches!(operation, Operation::Discard { .. });
                let id = self.registers.begin(self.time, offset, data, maybe);
                let asked = operation.clone();
                Kind::Put { id, operation, done: self.tasks.spawn(async move { asked.run(&image).await }) }
            }
        };
        self.active.push(Active { task, begin: self.time, kind });
        self.tally.most_at_once = self.tally.most_at_once.max(self.active.len());
    }

    fn meets_another(&self, operation: &Operation) -> bool {
        let Some((offset, length)) = operation.range() else { return false };
        if matches!(operation, Operation::CopyUp { .. }) {
            return false;
        }
        self.active.iter().any(|active| {
            let Kind::Put { operation, .. } = &active.kind else { return false };
            let (other, other_length) = operation.range().expect("a put has a range");
            offset < other + other_length && other < offset + length
        })
    }

    fn complete_one(&mut self) {
        let waiting = self.machine.waiting();
        if waiting.is_empty() {
            let only_others = self.active.is_empty() || self.tasks.step();
            assert!(only_others, "{}: requests wait for ever", self.describe());
            return;
        }
        let (id, _) = self.random.pick(&waiting);
        self.machine.complete(id, &mut self.random);
    }

    /// A request is dropped wherever it is.
    fn drop_one(&mut self) {
        if self.active.is_empty() {
            return;
        }
        let position = index(self.random.below(self.active.len() as u64));
        let active = self.active.swap_remove(position);
        self.tasks.cancel(active.task);
        self.tally.dropped += 1;
        if let Kind::Put { id, .. } = active.kind {
            self.registers.give_up(self.time, id);
        }
    }

    /// A write that was dropped lands, or is lost.
    fn settle_one(&mut self) {
        let dropped = self.machine.dropped();
        if !dropped.is_empty() {
            let id = self.random.pick(&dropped);
            self.machine.settle(id, &mut self.random);
        }
    }

    /// Takes note of what has ended.
    fn reap(&mut self) {
        for position in (0..self.active.len()).rev() {
            let Active { begin, kind, .. } = &self.active[position];
            match kind {
                Kind::Put { id, operation, done } => {
                    let Some(result) = done.take() else { continue };
                    match result {
                        Ok(()) => self.registers.end(self.time, *id),
                        Err(error) if self.is_expected(&error) => self.registers.give_up(self.time, *id),
                        Err(error) => panic!("{}: {operation:?}: {error}", self.describe()),
                    }
                }
                Kind::Flush { done } => {
                    let Some(result) = done.take() else { continue };
                    match result {
                        Ok(()) => self.registers.flushed(*begin),
                        Err(error) if self.is_expected(&error) => {}
                        Err(error) => panic!("{}: flush: {error}", self.describe()),
                    }
                }
                Kind::Unchanging { done } => match done.take() {
                    None => continue,
                    Some(Err(error)) if !self.is_expected(&error) => panic!("{}: copying: {error}", self.describe()),
                    Some(_) => {}
                },
                Kind::Read { offset, done } => {
                    let Some(result) = done.take() else { continue };
                    let bytes = result.unwrap_or_else(|error| panic!("{}: read: {error}", self.describe()));
                    if let Some(at) = self.registers.first_fault(*offset, &bytes, *begin) {
                        let found = bytes[index(at - offset)];
                        panic!("{}: a read found {found:#x}: {}", self.describe(), self.registers.describe(at));
                    }
                }
            }
            self.active.swap_remove(position);
        }
    }

    /// Lets everything end, and compares the disk.
    fn quiesce(&mut self) {
        while !self.active.is_empty() {
            self.time += 1;
            self.complete_one();
            self.tasks.run();
            self.reap();
        }
        self.time += 1;
        self.machine.hold(false);
        // What was dropped has landed when a flush has ended.
        for id in self.machine.dropped() {
            self.machine.settle(id, &mut self.random);
        }
        now(self.image.flush()).unwrap_or_else(|error| panic!("{}: flush: {error}", self.describe()));
        let contents = now(whole(&self.image)).unwrap();
        if let Some(at) = self.registers.first_fault(0, &contents, self.time) {
            let found = contents[index(at)];
            panic!("{}: when all was done, there was {found:#x}: {}", self.describe(), self.registers.describe(at));
        }
        self.registers.settle(contents);
        self.machine.hold(true);
    }

    /// What would be left if the machine stopped now.
    fn crash(&mut self) {
        for event in self.machine.take_log() {
            self.replay.step(&event);
            debug_assert!(!matches!(event, Event::Note(_)), "this test takes none");
        }
        let loss = if self.random.one_in(4) { Loss::OnlyUnderWay } else { self.random.pick(&Loss::RANDOM) };
        if self.replay.show(loss, &mut self.random) {
            self.tally.crashes += 1;
            let findings = self.views[IMAGE].with(check);
            assert!(findings.problems.is_empty(), "{}: {loss:?}: {findings}", self.describe());
            let image = self.setup.open_storages(&self.views);
            let image = image.unwrap_or_else(|error| panic!("{}: after a crash: {error}", self.describe()));
            let contents = now(whole(&image)).unwrap();
            if let Some(at) = self.registers.fault_after_crash(&contents) {
                let found = contents[index(at)];
                panic!("{}: {loss:?}: left {found:#x}: {}", self.describe(), self.registers.describe(at));
            }
        }
        self.replay.restore();
    }

    fn close(&mut self) {
        self.machine.hold(false);
        now(self.image.close()).unwrap();
        let findings = self.machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!(findings.exit_code(), 0, "{}: closed: {findings}", self.describe());
        let image = self.setup.open_to_read(&self.machine).unwrap();
        let contents = now(whole(&image)).unwrap();
        assert_eq!(self.registers.first_fault(0, &contents, self.time), None, "{}: closed", self.describe());
    }

    fn describe(&self) -> String {
        format!("{:?}, time {}", self.setup, self.time)
    }
}
