//! Files in memory that do what a real medium may do to its user: every request is noted, and can be held back,
//! reordered, failed, or torn.

mod change;
mod file;
mod request;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::common::index;
use crate::common::random::Random;
use change::overlap;
pub use change::{Change, Landing, SECTOR};
pub use file::File;
pub use request::{Counts, Event, Failure, Fault, Request};

/// Some files, and the requests to them. Cheap to clone: the clones are one machine.
#[derive(Clone, Default)]
pub struct Machine(Rc<State>);

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
    failed_barrier: Cell<bool>,
    may_overlap: Cell<bool>,
    no_changes: Cell<bool>,
    /// What comes of dropped writes while requests are not held.
    dropped_land: Cell<Landing>,
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

    /// A barrier has failed.
    pub fn has_failed_barrier(&self) -> bool {
        self.0.failed_barrier.get()
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
                    self.0.failed_barrier.set(true);
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
