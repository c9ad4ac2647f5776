//! A blocking interface, for programs without an executor.
//!
//! [`wait`] runs any future of this crate. If the storage is always ready, such as a file or memory, the future never waits.
//! Otherwise the thread sleeps until the storage has answered from another thread.
//!
//! ```
//! use qcow2_web::{CreateOptions, OpenOptions, blocking::wait, storage::MemoryStorage};
//! use std::rc::Rc;
//!
//! let file = Rc::new(MemoryStorage::default());
//! let image = wait(CreateOptions::new(64 << 20).create(file, OpenOptions::new()))?;
//! wait(image.write_at(1_000_000, b"hello"))?;
//! let mut bytes = [0; 5];
//! wait(image.read_at(1_000_000, &mut bytes))?;
//! assert_eq!(&bytes, b"hello");
//! wait(image.close())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::pin::pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};

/// Runs `future` on this thread until it completes. The thread sleeps while the future waits.
///
/// The thread sleeps forever if nothing wakes the future, so another thread must complete the operation that it waits for.
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::mpsc;

    use core::future::poll_fn;

    use super::*;

    #[test]
    fn wait_returns_when_another_thread_has_answered() {
        let (send, receive) = mpsc::channel::<(core::task::Waker, mpsc::Sender<u8>)>();
        let other = thread::spawn(move || {
            let (waker, answer) = receive.recv().unwrap();
            answer.send(7).unwrap();
            waker.wake();
        });
        let (answer, answered) = mpsc::channel();
        let mut asked = false;
        let number = wait(poll_fn(|context| {
            if !asked {
                asked = true;
                send.send((context.waker().clone(), answer.clone())).unwrap();
            }
            answered.try_recv().map_or(Poll::Pending, Poll::Ready)
        }));
        assert_eq!(number, 7);
        other.join().unwrap();
    }
}
