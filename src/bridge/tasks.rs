//! The futures of the engine that are under way, and what runs them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use wasm_bindgen::JsValue;

/// What a task comes to.
pub(crate) type Outcome = Result<JsValue, JsValue>;

/// The tasks under way, by number.
#[derive(Default)]
pub(crate) struct Tasks(RefCell<State>);

#[derive(Default)]
struct State {
    last: u32,
    waiting: BTreeMap<u32, Entry>,
}

struct Entry {
    /// Taken out while it is polled, since JavaScript may call back meanwhile.
    task: Option<Task>,
    woken: Arc<Woken>,
}

type Task = Pin<Box<dyn Future<Output = Outcome>>>;

/// Set when a task can go on.
#[derive(Default)]
struct Woken(AtomicBool);

impl Woken {
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Tasks {
    /// Starts a task: its outcome if it needs not wait, else its number.
    pub(crate) fn start(&self, task: impl Future<Output = Outcome> + 'static) -> Result<Outcome, u32> {
        self.start_boxed(Box::pin(task))
    }

    fn start_boxed(&self, mut task: Task) -> Result<Outcome, u32> {
        let woken = Arc::new(Woken::default());
        loop {
            if let Poll::Ready(outcome) = poll(&mut task, &woken) {
                return Ok(outcome);
            }
            if !woken.take() {
                break;
            }
        }
        let mut state = self.0.borrow_mut();
        state.last = state.last.wrapping_add(1);
        let number = state.last;
        state.waiting.insert(number, Entry { task: Some(task), woken });
        Err(number)
    }

    /// Drops a task.
    pub(crate) fn cancel(&self, number: u32) {
        // What it holds calls JavaScript when it is dropped: the borrow ends before.
        let cancelled = self.0.borrow_mut().waiting.remove(&number);
        drop(cancelled);
    }

    /// Runs all tasks that can go on, until none can; `done` takes what they come to.
    pub(crate) fn run(&self, done: impl Fn(u32, Outcome)) {
        loop {
            let woken = self.take_woken();
            if woken.is_empty() {
                return;
            }
            for (number, mut task, woken) in woken {
                match poll(&mut task, &woken) {
                    Poll::Ready(outcome) => {
                        // One that was cancelled while it was polled is not heard of again.
                        let known = self.0.borrow_mut().waiting.remove(&number);
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
        let mut state = self.0.borrow_mut();
        // One that is being polled, further up the stack, is looked at again when that poll is over.
        let woken = state.waiting.iter_mut().filter(|(_, entry)| entry.task.is_some() && entry.woken.take());
        woken.filter_map(|(number, entry)| Some((*number, entry.task.take()?, entry.woken.clone()))).collect()
    }

    fn put_back(&self, number: u32, task: Task) {
        let mut state = self.0.borrow_mut();
        let cancelled = match state.waiting.get_mut(&number) {
            Some(entry) => {
                entry.task = Some(task);
                None
            }
            None => Some(task),
        };
        drop(state);
        drop(cancelled);
    }
}

fn poll(task: &mut Task, woken: &Arc<Woken>) -> Poll<Outcome> {
    let waker = Waker::from(woken.clone());
    task.as_mut().poll(&mut Context::from_waker(&waker))
}
