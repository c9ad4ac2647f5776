//! Waiting until something may have changed.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// Those who wait; all are woken at each change, and look again.
#[derive(Default)]
pub(crate) struct Waiters {
    wakers: RefCell<Vec<Waker>>,
}

impl Waiters {
    /// Waits until `ready` gives something; it is asked at once, and after each [`Waiters::wake_all`].
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

    pub(crate) fn wake_all(&self) {
        // Taken out first: a waker may run a future that waits again.
        for waker in self.wakers.take() {
            waker.wake();
        }
    }
}
