//! Buffers to use again, so that a request allocates nothing once the engine is warm.

use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

/// How many buffers are kept for the next requests.
const POOLED: usize = 4;

/// A few buffers that nobody uses.
#[derive(Default)]
pub(crate) struct Buffers {
    unused: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// A buffer of `length` bytes of unspecified contents.
    pub(crate) fn take(&self, length: usize) -> Vec<u8> {
        let pooled = self.unused.borrow_mut().pop();
        match pooled {
            Some(mut buffer) => {
                buffer.resize(length, 0);
                buffer
            }
            None => vec![0; length],
        }
    }

    pub(crate) fn put(&self, buffer: Vec<u8>) {
        let mut unused = self.unused.borrow_mut();
        if unused.len() < POOLED {
            unused.push(buffer);
        }
    }
}
