//! The current header of a file.

use alloc::rc::Rc;
use core::cell::RefCell;

use crate::format::header::Header;

/// The header, shared by all users of the file. It changes once a write of the header is durable.
pub(crate) struct CurrentHeader {
    header: RefCell<Rc<Header>>,
}

impl CurrentHeader {
    pub(crate) fn new(header: Header) -> Self {
        Self { header: RefCell::new(Rc::new(header)) }
    }

    pub(crate) fn get(&self) -> Rc<Header> {
        self.header.borrow().clone()
    }

    /// Returns the result of `look` on the header, without cloning the reference.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Header) -> T) -> T {
        look(&self.header.borrow())
    }

    pub(crate) fn set(&self, header: Header) {
        self.header.replace(Rc::new(header));
    }
}
