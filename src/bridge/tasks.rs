//! The running futures of the engine, and their executor.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use wasm_bindgen::JsValue;

/// The outcome of a task.
pub(crate) type Outcome = Result<JsValue, JsValue>;

/// The running tasks, by number.
#[derive(Default)]
pub(crate) struct Tasks {
    state: RefCell<State>,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct State {
    last: u32,
    /// By slot, then by number.
    waiting: BTreeMap<(u32, u32), Entry>,
}

struct Entry {
    /// `None` while it is polled, because JavaScript may call back meanwhile.
    task: Option<Task>,
    woken: Arc<Woken>,
}

type Task = Pin<Box<dyn Future<Output = Outcome>>>;

/// The number of slots. More tasks share them.
const SLOTS: u32 = 1024;

/// One bit for each slot with tasks that can continue, so that finding them does not visit all tasks.
struct Ready([AtomicU32; SLOTS as usize / 32]);

impl Default for Ready {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; SLOTS as usize / 32])
    }
}

impl Ready {
    fn add(&self, slot: u32) {
        self.0[slot as usize / 32].fetch_or(1 << (slot % 32), Ordering::Relaxed);
    }

    /// Returns the slots that were added since the last call.
    fn take(&self) -> impl Iterator<Item = u32> {
        let words = self
            .0
            .iter()
            .map(|word| if word.load(Ordering::Relaxed) == 0 { 0 } else { word.swap(0, Ordering::Relaxed) });
        words
            .zip(0_u32..)
            .flat_map(|(word, index)| (0..32).filter(move |bit| word >> bit & 1 != 0).map(move |bit| index * 32 + bit))
    }
}

/// The waker of a task; its flag is set when the task can continue.
struct Woken {
    number: u32,
    flag: AtomicBool,
    ready: Arc<Ready>,
}

impl Woken {
    fn take(&self) -> bool {
        self.flag.swap(false, Ordering::Relaxed)
    }

    fn slot(&self) -> u32 {
        self.number % SLOTS
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.flag.store(true, Ordering::Relaxed);
        self.ready.add(self.slot());
    }
}

impl Tasks {
    /// Starts a task. Returns its outcome if it need not wait, otherwise its number.
    pub(crate) fn start(&self, task: impl Future<Output = Outcome> + 'static) -> Result<Outcome, u32> {
        self.start_boxed(Box::pin(task))
    }

    fn start_boxed(&self, mut task: Task) -> Result<Outcome, u32> {
        let number = {
            let mut state = self.state.borrow_mut();
            state.last = state.last.wrapping_add(1);
            state.last
        };
        let woken = Arc::new(Woken { number, flag: AtomicBool::new(false), ready: self.ready.clone() });
        loop {
            if let Poll::Ready(outcome) = poll(&mut task, &woken) {
                return Ok(outcome);
            }
            if !woken.take() {
                break;
            }
        }
        self.state.borrow_mut().waiting.insert(key(number), Entry { task: Some(task), woken });
        Err(number)
    }

    /// Drops a task.
    pub(crate) fn cancel(&self, number: u32) {
        // Dropping the task may call JavaScript, so the borrow must end first.
        let cancelled = self.state.borrow_mut().waiting.remove(&key(number));
        drop(cancelled);
    }

    /// Runs all tasks that can continue, until none can. `done` receives their outcomes.
    pub(crate) fn run(&self, done: impl Fn(u32, Outcome)) {
        loop {
            let woken = self.take_woken();
            if woken.is_empty() {
                return;
            }
            for (number, mut task, woken) in woken {
                match poll(&mut task, &woken) {
                    Poll::Ready(outcome) => {
                        // The outcome of a task that was cancelled while it was polled is dropped.
                        let known = self.state.borrow_mut().waiting.remove(&key(number));
                        if known.is_some() {
                            done(number, outcome);
                        }
                    }
                    Poll::Pending => self.put_back(number, task),
                }
            }
        }
    }

    fn take_woken(&self) -> Vec<(u32, Task, Arc<Woken>)> {
        let mut state = self.state.borrow_mut();
        let mut ready = Vec::new();
        for slot in self.ready.take() {
            for ((_, number), entry) in state.waiting.range_mut((slot, 0)..=(slot, u32::MAX)) {
                // A task that is being polled, further up the stack, is visited again after that poll.
                if entry.task.is_some() && entry.woken.take() {
                    ready.extend(entry.task.take().map(|task| (*number, task, entry.woken.clone())));
                }
            }
        }
        ready
    }

    fn put_back(&self, number: u32, task: Task) {
        let mut state = self.state.borrow_mut();
        let cancelled = match state.waiting.get_mut(&key(number)) {
            Some(entry) => {
                entry.task = Some(task);
                // The task may have been woken while it was polled.
                if entry.woken.flag.load(Ordering::Relaxed) {
                    self.ready.add(entry.woken.slot());
                }
                None
            }
            None => Some(task),
        };
        drop(state);
        drop(cancelled);
    }
}

/// Returns the key of the task with this number.
fn key(number: u32) -> (u32, u32) {
    (number % SLOTS, number)
}

fn poll(task: &mut Task, woken: &Arc<Woken>) -> Poll<Outcome> {
    let waker = Waker::from(woken.clone());
    task.as_mut().poll(&mut Context::from_waker(&waker))
}
