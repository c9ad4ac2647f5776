//! The synchronous face of an asynchronous engine.

use core::pin::pin;
use core::task::{Context, Poll, Waker};

/// Polls `future` once, and drops it.
///
/// `Some` when it completed, as every future of this crate does over a storage that is always ready; `None` when
/// something under it had to wait. Dropping a future of this crate at any await is safe.
pub fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
