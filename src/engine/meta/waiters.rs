//! Waiting for a condition.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// The tasks that wait for a condition. Each change wakes all of them, and they check the condition again.
#[derive(Default)]
pub(crate) struct Waiters {
    wakers: RefCell<Vec<Waker>>,
}

impl Waiters {
    /// Waits until `ready` returns `Some`. Calls it immediately, and after each [`Waiters::wake_all`].
    pub(crate) async fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| {
            if let Some(value) = ready() {
                return Poll::Ready(value);
            }
            let mut wakers = self.wakers.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    #[inline]
    pub(crate) fn wake_all(&self) {
        if !self.wakers.borrow().is_empty() {
            self.wake_each();
        }
    }

    #[cold]
    fn wake_each(&self) {
        // The list is emptied first, because a waker may run a future that waits again.
        for waker in self.wakers.take() {
            waker.wake();
        }
    }
}
