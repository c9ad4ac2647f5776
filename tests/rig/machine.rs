//! Files in memory that do what a real medium may do to its user: every request is noted, and can be held back,
//! reordered, failed, or torn.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};

use qcow2_web::{Storage, StorageMut};

use crate::common::index;
use crate::common::random::Random;

/// What a medium writes at once, or not at all.
pub const SECTOR: u64 = 512;

/// Some files, and the requests to them. Cheap to clone: the clones are one machine.
#[derive(Clone, Default)]
pub struct Machine(Rc<State>);

/// A file of a machine.
#[derive(Clone)]
pub struct File {
    machine: Machine,
    number: usize,
}

#[derive(Default)]
struct State {
    files: RefCell<Vec<Vec<u8>>>,
    /// Requests complete when the test says, not at once.
    held: Cell<bool>,
    waiting: RefCell<BTreeMap<u64, Waiting>>,
    next_id: Cell<u64>,
    log: RefCell<Vec<Event>>,
    counts: Cell<Counts>,
    fault: Cell<Option<Fault>>,
    /// No file may become longer.
    limit: Cell<Option<u64>>,
    may_overlap: Cell<bool>,
    no_changes: Cell<bool>,
    /// What comes of dropped writes while requests are not held.
    dropped_land: Cell<Landing>,
}

/// How many requests there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub reads: u64,
    pub writes: u64,
    pub flushes: u64,
    /// Writes, flushes and changes of the size.
    pub changes: u64,
    pub bytes_written: u64,
}

/// A request that fails, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The read of that number.
    Read(u64),
    /// The write, flush or change of size of that number; a write changes so much all the same.
    Change(u64, Landing),
    /// The next of them to be carried out.
    NextChange(Landing),
}

/// How much of a write comes to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Landing {
    #[default]
    Nothing,
    /// Some of its sectors.
    Torn(u64),
    Everything,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The test wanted it.
    Injected,
    NoSpace,
    PastEnd,
}

/// What a request does to its file.
#[derive(Clone, Debug)]
pub enum Change {
    Write { offset: u64, data: Rc<[u8]> },
    SetSize(u64),
}

/// What happened to the files, in order.
#[derive(Clone, Debug)]
pub enum Event {
    Asked {
        id: u64,
        file: usize,
        change: Change,
    },
    /// The change is in the file, or those of its sectors that landed.
    Done {
        id: u64,
        landed: Landing,
    },
    /// The same, of a change that was dropped.
    Settled {
        id: u64,
        landed: Landing,
    },
    FlushAsked {
        id: u64,
        file: usize,
    },
    FlushDone {
        id: u64,
    },
    /// Of the test.
    Note(usize),
}

#[derive(Clone, Debug)]
pub enum Request {
    Read { file: usize, range: Range<u64> },
    Change { file: usize, change: Change },
    Flush { file: usize },
}

struct Waiting {
    request: Request,
    /// Nobody waits for it any more.
    dropped: bool,
    outcome: Option<Result<Vec<u8>, Failure>>,
    waker: Option<Waker>,
}

impl Machine {
    pub fn new(files: Vec<Vec<u8>>) -> Self {
        let machine = Self::default();
        *machine.0.files.borrow_mut() = files;
        machine
    }

    pub fn file(&self, number: usize) -> File {
        File { machine: self.clone(), number }
    }

    pub fn files(&self) -> Vec<Vec<u8>> {
        self.0.files.borrow().clone()
    }

    pub fn with_files<T>(&self, look: impl FnOnce(&[Vec<u8>]) -> T) -> T {
        look(&self.0.files.borrow())
    }

    pub fn counts(&self) -> Counts {
        self.0.counts.get()
    }

    pub fn forget_counts(&self) {
        self.0.counts.set(Counts::default());
    }

    /// Lets the request of that number fail; numbers count from the last [`Machine::forget_counts`].
    pub fn fail(&self, fault: Option<Fault>) {
        self.0.fault.set(fault);
    }

    /// Does something that neither counts nor fails.
    pub fn aside<T>(&self, look: impl FnOnce() -> T) -> T {
        let (counts, fault) = (self.0.counts.get(), self.0.fault.take());
        let result = look();
        self.0.counts.set(counts);
        self.0.fault.set(fault);
        result
    }

    /// The fault has come.
    pub fn has_failed(&self) -> bool {
        self.0.fault.get().is_none()
    }

    /// A full disk: no file may become longer than that.
    pub fn limit_size(&self, limit: Option<u64>) {
        self.0.limit.set(limit);
    }

    /// From now on requests wait until the test lets them go.
    pub fn hold(&self, held: bool) {
        self.0.held.set(held);
    }

    /// Allows two writes of the same bytes at once: for guests that do so.
    pub fn allow_overlaps(&self) {
        self.0.may_overlap.set(true);
    }

    /// From now on nobody may ask for a change.
    pub fn forbid_changes(&self) {
        self.0.no_changes.set(true);
    }

    /// What comes of dropped writes that are in the way of a request that isn't held; nothing, unless told.
    pub fn land_dropped(&self, landing: Landing) {
        self.0.dropped_land.set(landing);
    }

    pub fn note(&self, number: usize) {
        self.0.log.borrow_mut().push(Event::Note(number));
    }

    /// What happened since this was last asked.
    pub fn take_log(&self) -> Vec<Event> {
        self.0.log.take()
    }

    /// The requests that wait and are wanted, oldest first.
    pub fn waiting(&self) -> Vec<(u64, Request)> {
        let waiting = self.0.waiting.borrow();
        let wanted = waiting.iter().filter(|(_, waiting)| !waiting.dropped && waiting.outcome.is_none());
        wanted.map(|(id, waiting)| (*id, waiting.request.clone())).collect()
    }

    /// Lets the request do its work, and tells who waits for it.
    ///
    /// Before a write or a flush completes, what was dropped before it was asked, and would come into its way, is
    /// settled: it lands in full, in part or not at all.
    pub fn complete(&self, id: u64, random: &mut Random) {
        let request = self.0.waiting.borrow()[&id].request.clone();
        for dropped in self.dropped_before(id, &request) {
            self.settle(dropped, random);
        }
        let outcome = self.perform(id, &request);
        let waker = {
            let mut waiting = self.0.waiting.borrow_mut();
            let Some(waiting) = waiting.get_mut(&id) else { return };
            waiting.outcome = Some(outcome);
            waiting.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The writes that were dropped and may still land.
    pub fn dropped(&self) -> Vec<u64> {
        let waiting = self.0.waiting.borrow();
        waiting.iter().filter(|(_, waiting)| waiting.dropped).map(|(id, _)| *id).collect()
    }

    /// A dropped write lands: in full, in part or not at all.
    pub fn settle(&self, id: u64, random: &mut Random) {
        let landed = match random.below(3) {
            0 => Landing::Nothing,
            1 => Landing::Torn(random.next()),
            _ => Landing::Everything,
        };
        self.settle_as(id, landed);
    }

    pub fn settle_as(&self, id: u64, landed: Landing) {
        let waiting = self.0.waiting.borrow_mut().remove(&id);
        if let Some(Waiting { request: Request::Change { file, change }, .. }) = waiting {
            change.apply(&mut self.0.files.borrow_mut()[file], landed);
            self.log(Event::Settled { id, landed });
        }
    }

    fn dropped_before(&self, id: u64, request: &Request) -> Vec<u64> {
        let waiting = self.0.waiting.borrow();
        let before = waiting.range(..id).filter(|(_, waiting)| waiting.dropped);
        before.filter(|(_, waiting)| comes_before(&waiting.request, request)).map(|(id, _)| *id).collect()
    }

    fn ask(&self, request: Request) -> Asked {
        let id = self.0.next_id.get();
        self.0.next_id.set(id + 1);
        self.count(&request);
        let is_read = matches!(request, Request::Read { .. });
        assert!(is_read || !self.0.no_changes.get(), "asked for after a failure: {request:?}");
        match &request {
            Request::Read { .. } => {}
            Request::Change { file, change } => {
                self.assert_alone(*file, change);
                self.log(Event::Asked { id, file: *file, change: change.clone() });
            }
            Request::Flush { file } => self.log(Event::FlushAsked { id, file: *file }),
        }
        let outcome = (!self.0.held.get()).then(|| {
            for dropped in self.dropped_before(id, &request) {
                self.settle_as(dropped, self.0.dropped_land.get());
            }
            self.perform(id, &request)
        });
        let waiting = Waiting { request, dropped: false, outcome, waker: None };
        self.0.waiting.borrow_mut().insert(id, waiting);
        Asked { machine: self.clone(), id }
    }

    /// The engine promises that no two writes of the same bytes are under way, unless the first was dropped.
    fn assert_alone(&self, file: usize, change: &Change) {
        if self.0.may_overlap.get() {
            return;
        }
        for (_, request) in self.waiting() {
            if let Request::Change { file: other_file, change: other } = &request {
                let apart = *other_file != file || !overlap(&other.range(), &change.range());
                assert!(apart, "two writes of the same bytes at once: {:?} and {:?}", other.range(), change.range());
            }
        }
    }

    fn count(&self, request: &Request) {
        let mut counts = self.0.counts.get();
        match request {
            Request::Read { .. } => counts.reads += 1,
            Request::Change { change, .. } => {
                counts.changes += 1;
                if let Change::Write { data, .. } = change {
                    counts.writes += 1;
                    counts.bytes_written += data.len() as u64;
                }
            }
            Request::Flush { .. } => {
                counts.flushes += 1;
                counts.changes += 1;
            }
        }
        self.0.counts.set(counts);
    }

    fn perform(&self, id: u64, request: &Request) -> Result<Vec<u8>, Failure> {
        match request {
            Request::Read { file, range } => {
                if self.0.fault.get() == Some(Fault::Read(self.counts().reads)) {
                    self.0.fault.set(None);
                    return Err(Failure::Injected);
                }
                let files = self.0.files.borrow();
                let bytes = files[*file].get(index(range.start)..index(range.end)).ok_or(Failure::PastEnd)?;
                Ok(bytes.to_vec())
            }
            Request::Change { file, change } => {
                if let Some(landed) = self.failing_change() {
                    self.apply(id, *file, change, landed);
                    return Err(Failure::Injected);
                }
                if self.0.limit.get().is_some_and(|limit| change.range().end > limit) {
                    self.apply(id, *file, change, Landing::Nothing);
                    return Err(Failure::NoSpace);
                }
                self.apply(id, *file, change, Landing::Everything);
                Ok(Vec::new())
            }
            Request::Flush { .. } => {
                if self.failing_change().is_some() {
                    return Err(Failure::Injected);
                }
                self.log(Event::FlushDone { id });
                Ok(Vec::new())
            }
        }
    }

    fn failing_change(&self) -> Option<Landing> {
        let number = self.counts().changes;
        let failing = match self.0.fault.get() {
            Some(Fault::Change(at, landed)) if at == number => Some(landed),
            Some(Fault::NextChange(landed)) => Some(landed),
            _ => None,
        };
        if failing.is_some() {
            self.0.fault.set(None);
        }
        failing
    }

    fn apply(&self, id: u64, file: usize, change: &Change, landed: Landing) {
        change.apply(&mut self.0.files.borrow_mut()[file], landed);
        self.log(Event::Done { id, landed });
    }

    fn log(&self, event: Event) {
        self.0.log.borrow_mut().push(event);
    }
}

/// Whether `dropped` must have come to its end before `request` completes.
fn comes_before(dropped: &Request, request: &Request) -> bool {
    let Request::Change { file, change } = dropped else { return true };
    match request {
        Request::Read { .. } => false,
        Request::Flush { file: flushed } => file == flushed,
        Request::Change { file: other_file, change: other } => {
            file == other_file && overlap(&change.range(), &other.range())
        }
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

impl Change {
    /// The bytes that it changes.
    pub fn range(&self) -> Range<u64> {
        match self {
            Self::Write { offset, data } => *offset..offset + data.len() as u64,
            // All that follows.
            Self::SetSize(size) => *size..u64::MAX,
        }
    }

    /// The parts of a write that one sector each holds.
    pub fn sectors(&self) -> Vec<(u64, Range<u64>)> {
        let Self::Write { .. } = self else { return Vec::new() };
        let range = self.range();
        let sectors = range.start / SECTOR..range.end.div_ceil(SECTOR);
        sectors.map(|sector| (sector, range.start.max(sector * SECTOR)..range.end.min((sector + 1) * SECTOR))).collect()
    }

    pub fn apply(&self, file: &mut Vec<u8>, landed: Landing) {
        match (landed, self) {
            (Landing::Nothing, _) => {}
            (_, Self::SetSize(size)) => file.resize(index(*size), 0),
            (Landing::Everything, Self::Write { .. }) => self.put(file, self.range()),
            (Landing::Torn(seed), Self::Write { .. }) => {
                let mut random = Random::seeded(seed);
                for (_, part) in self.sectors() {
                    if random.one_in(2) {
                        self.put(file, part);
                    }
                }
            }
        }
    }

    /// Puts that part of a write into the file.
    pub fn put(&self, file: &mut Vec<u8>, part: Range<u64>) {
        if let Self::Write { offset, data } = self {
            let end = index(part.end);
            if file.len() < end {
                file.resize(end, 0);
            }
            let source = index(part.start - offset)..index(part.end - offset);
            file[index(part.start)..end].copy_from_slice(&data[source]);
        }
    }
}

impl File {
    pub fn bytes(&self) -> Vec<u8> {
        self.machine.with_files(|files| files[self.number].clone())
    }
}

impl Storage for File {
    type Error = Failure;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Failure> {
        let range = offset..offset.checked_add(buf.len() as u64).ok_or(Failure::PastEnd)?;
        let bytes = self.machine.ask(Request::Read { file: self.number, range }).answer().await?;
        buf.copy_from_slice(&bytes);
        Ok(())
    }

    async fn size(&self) -> Result<u64, Failure> {
        Ok(self.machine.with_files(|files| files[self.number].len() as u64))
    }
}

impl StorageMut for File {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Failure> {
        let change = Change::Write { offset, data: buf.into() };
        self.machine.ask(Request::Change { file: self.number, change }).answer().await.map(drop)
    }

    async fn set_size(&self, size: u64) -> Result<(), Failure> {
        let change = Change::SetSize(size);
        self.machine.ask(Request::Change { file: self.number, change }).answer().await.map(drop)
    }

    async fn flush(&self) -> Result<(), Failure> {
        self.machine.ask(Request::Flush { file: self.number }).answer().await.map(drop)
    }
}

/// A request under way. Dropped, it may still be carried out where it is a write.
struct Asked {
    machine: Machine,
    id: u64,
}

impl Asked {
    async fn answer(self) -> Result<Vec<u8>, Failure> {
        poll_fn(|context| {
            let mut all = self.machine.0.waiting.borrow_mut();
            let waiting = all.get_mut(&self.id).expect("it was asked");
            if let Some(outcome) = waiting.outcome.take() {
                all.remove(&self.id);
                Poll::Ready(outcome)
            } else {
                waiting.waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut all = self.machine.0.waiting.borrow_mut();
        if let Some(waiting) = all.get_mut(&self.id) {
            waiting.dropped = true;
            let lands_later = waiting.outcome.is_none() && matches!(waiting.request, Request::Change { .. });
            if !lands_later {
                all.remove(&self.id);
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Injected => "a fault made by the test",
            Self::NoSpace => "no space left",
            Self::PastEnd => "past the end",
        })
    }
}

impl std::error::Error for Failure {}
