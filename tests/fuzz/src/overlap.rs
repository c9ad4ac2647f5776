//! Reads side by side over a storage that answers late, in any order, with failures, and to nobody: the input says which
//! task is polled, which request is answered, and which read is dropped, and when.
//!
//! Only tasks that were woken are polled, so a wake-up that is lost leaves a task behind.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use qcow2_web::{Error, Image, Storage};

use crate::check::check_read;
use crate::input::Input;
use crate::limits::within_memory;
use crate::model::{self, Layer};
use crate::plan::Made;
use crate::storage::Bytes;

const TASKS: usize = 6;
const MAX_READ: u64 = 64 << 10;
const STEPS: usize = 400;
const MEMORY: usize = 64 << 20;

type File = Rc<Deferred>;

/// Runs the reads of the input at the same time; each must give what the model says.
pub fn overlap(input: &[u8]) {
    let mut input = Input::new(input);
    let made = Made::of(&mut input);
    within_memory(MEMORY, || {
        let desk = Rc::new(Desk::default());
        let storage = |bytes| Rc::new(Deferred { bytes, desk: desk.clone() });
        let image = made.open(storage(made.file.clone()), storage);
        let layers = made.layers();
        if image.size() == 0 {
            return;
        }
        desk.defers.set(true);
        let mut tasks: Vec<_> = (0..TASKS).map(|_| Task::new(&image, &mut input)).collect();
        for _ in 0..STEPS {
            if input.is_empty() {
                break;
            }
            step(&mut tasks, &desk, &mut input, &layers);
        }
        finish(&mut tasks, &desk, &layers);
        // Whatever happened, the image reads on.
        desk.defers.set(false);
        for task in &tasks {
            check_read(&image, &layers, task.offset, task.length);
        }
    });
}

/// Polls, answers, fails or drops, as the input says.
fn step(tasks: &mut [Task], desk: &Desk, input: &mut Input<'_>, layers: &[Layer]) {
    let (what, which) = (input.u8(), usize::from(input.u8()));
    match what % 16 {
        0..=6 => tasks[which % TASKS].poll(layers),
        7..=13 => desk.answer(which, Answer::Bytes),
        14 => desk.answer(which, Answer::Failure),
        _ => tasks[which % TASKS].future = None,
    }
}

/// Answers everything and polls what is woken, until all are done.
fn finish(tasks: &mut [Task], desk: &Desk, layers: &[Layer]) {
    while tasks.iter().any(|task| task.future.is_some()) {
        let mut idle = !desk.has_unanswered();
        while desk.has_unanswered() {
            desk.answer(0, Answer::Bytes);
        }
        for task in &mut *tasks {
            if task.future.is_some() && task.flag.0.load(Relaxed) {
                idle = false;
                task.poll(layers);
            }
        }
        assert!(!idle, "a read waits for what nobody will tell it");
    }
}

/// A read that is under way.
struct Task {
    offset: u64,
    length: usize,
    future: Option<Pin<Box<dyn Future<Output = Outcome>>>>,
    flag: Arc<Flag>,
}

type Outcome = Result<Vec<u8>, Error<Failure>>;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

impl Task {
    fn new(image: &Image<File>, input: &mut Input<'_>) -> Self {
        let offset = if input.flag() { input.u64() } else { input.u32() << 6 } % image.size();
        let length = (input.u16() * 2).min(MAX_READ).min(image.size() - offset) as usize;
        let image = image.clone();
        let future = async move {
            let mut buf = vec![0xaa; length];
            image.read_at(offset, &mut buf).await.map(|()| buf)
        };
        Self { offset, length, future: Some(Box::pin(future)), flag: Arc::new(Flag(AtomicBool::new(true))) }
    }

    /// Polls it if it was woken, and checks what comes of it.
    fn poll(&mut self, layers: &[Layer]) {
        let Some(future) = &mut self.future else { return };
        if !self.flag.0.swap(false, Relaxed) {
            return;
        }
        let waker = Waker::from(self.flag.clone());
        let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(&waker)) else {
            return;
        };
        self.future = None;
        match (outcome, model::read(layers, self.offset, self.length)) {
            // Only the storages that the input makes fail do.
            (Err(error), _) if error.code() == "STORAGE" => {}
            (Ok(found), Some(expected)) => {
                assert!(found == expected, "{} bytes at {} differ", self.length, self.offset)
            }
            (Err(error), None) => assert!(!error.to_string().is_empty()),
            (Ok(_), None) => panic!("a read of {} bytes at {} has to fail", self.length, self.offset),
            (Err(error), Some(_)) => panic!("a read of {} bytes at {} fails: {error}", self.length, self.offset),
        }
    }
}

/// Where the requests of all storages wait for their answers.
#[derive(Default)]
struct Desk {
    defers: Cell<bool>,
    requests: RefCell<BTreeMap<u64, Request>>,
    next: Cell<u64>,
}

struct Request {
    answer: Option<Answer>,
    waker: Waker,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Bytes,
    Failure,
}

impl Desk {
    fn has_unanswered(&self) -> bool {
        self.requests.borrow().values().any(|request| request.answer.is_none())
    }

    /// Answers one of those that wait.
    fn answer(&self, which: usize, answer: Answer) {
        let mut requests = self.requests.borrow_mut();
        let count = requests.values().filter(|request| request.answer.is_none()).count().max(1);
        let mut waiting = requests.values_mut().filter(|request| request.answer.is_none());
        if let Some(request) = waiting.nth(which % count) {
            request.answer = Some(answer);
            request.waker.wake_by_ref();
        }
    }
}

/// A storage whose answers come when the desk gives them.
struct Deferred {
    bytes: Rc<dyn Bytes>,
    desk: Rc<Desk>,
}

/// A place at the desk, given up when the future is dropped.
struct Ticket<'a> {
    desk: &'a Desk,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.desk.requests.borrow_mut().remove(&self.number);
    }
}

impl Ticket<'_> {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Answer> {
        let mut requests = self.desk.requests.borrow_mut();
        let request =
            requests.entry(self.number).or_insert_with(|| Request { answer: None, waker: context.waker().clone() });
        request.waker.clone_from(context.waker());
        request.answer.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Storage for Deferred {
    type Error = Failure;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Failure> {
        let end = offset.checked_add(buf.len() as u64);
        assert!(end.is_some_and(|end| end <= self.bytes.size()), "{} bytes at {offset}", buf.len());
        if self.desk.defers.get() {
            let number = self.desk.next.replace(self.desk.next.get() + 1);
            let ticket = Ticket { desk: &self.desk, number };
            if let Answer::Failure = poll_fn(|context| ticket.poll(context)).await {
                return Err(Failure);
            }
        }
        self.bytes.fill(offset, buf);
        Ok(())
    }

    async fn size(&self) -> Result<u64, Failure> {
        Ok(self.bytes.size())
    }
}

#[derive(Debug)]
struct Failure;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the input makes this request fail")
    }
}

impl std::error::Error for Failure {}
