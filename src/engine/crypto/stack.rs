//! The stack, on which everything that handles a key leaves copies of it and of what is made of it.

use alloc::boxed::Box;
use core::future::poll_fn;
use core::hint::black_box;
use core::pin::Pin;
use core::task::{Context, Poll};

use zeroize::Zeroize;

/// How far down the stack is wiped, in bytes: several times what the ciphers and hashes use.
const DEPTH: usize = 32 * 1024;

/// Overwrites what calls before this one have left on the stack, below the frame of the caller.
#[inline(never)]
pub(crate) fn wipe_stack() {
    #[expect(clippy::large_stack_arrays, reason = "the stack is what is wiped")]
    let mut below = [0_u8; DEPTH];
    below.zeroize();
    black_box(&below);
}

/// Runs `future`, which handles keys, and wipes the stack that it has used each time that it was polled.
pub(crate) async fn wiping<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    poll_fn(move |context| {
        let polled = poll_below(future.as_mut(), context);
        wipe_stack();
        polled
    })
    .await
}

/// In a frame of its own, so that nothing of the future is in the frame that wipes.
#[inline(never)]
fn poll_below<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    future.poll(context)
}
