//! Running a future synchronously.

use core::pin::pin;
use core::task::{Context, Poll, Waker};

/// Polls `future` once, drops it, and returns its output if it completed.
///
/// Every future of this crate completes at the first poll if the storage is always ready. Returns `None` if the future had
/// to wait. It is safe to drop a future of this crate at any await.
pub fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
