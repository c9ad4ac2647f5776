//! Runs futures on one thread, and polls only those that were woken.
//!
//! A browser polls a future again only when its waker was called. An executor that polled in a
//! loop would hide a lost wake-up; here it is a panic.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `future` to its end. Panics when it waits for nothing.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&flag));
    loop {
        assert!(flag.0.swap(false, Ordering::Relaxed), "a future is pending and nothing wakes it");
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
    }
}

struct Task<'a> {
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    flag: Arc<Flag>,
}

/// Several futures at once, which a test advances step by step.
#[derive(Default)]
pub struct Tasks<'a> {
    tasks: Vec<Option<Task<'a>>>,
}

/// What a task has come to; filled when it completes.
pub struct Handle<T>(Rc<RefCell<Option<T>>>);

impl<T> Handle<T> {
    pub fn take(&self) -> Option<T> {
        self.0.borrow_mut().take()
    }

    pub fn is_done(&self) -> bool {
        self.0.borrow().is_some()
    }
}

impl<'a> Tasks<'a> {
    pub fn spawn<F: Future + 'a>(&mut self, future: F) -> Handle<F::Output>
    where
        F::Output: 'a,
    {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        let future = Box::pin(async move {
            let output = future.await;
            *slot.borrow_mut() = Some(output);
        });
        self.tasks.push(Some(Task { future, flag: Arc::new(Flag(AtomicBool::new(true))) }));
        Handle(result)
    }

    /// Polls what was woken, until nothing is.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// Polls each task that was woken, once; whether there was one.
    pub fn step(&mut self) -> bool {
        let mut any = false;
        for slot in &mut self.tasks {
            let Some(task) = slot else { continue };
            if !task.flag.0.swap(false, Ordering::Relaxed) {
                continue;
            }
            any = true;
            let waker = Waker::from(Arc::clone(&task.flag));
            if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                *slot = None;
            }
        }
        any
    }

    pub fn unfinished(&self) -> usize {
        self.tasks.iter().flatten().count()
    }

    /// Drops the task that was spawned as number `index`, wherever it is waiting.
    pub fn cancel(&mut self, index: usize) {
        self.tasks[index] = None;
    }
}
