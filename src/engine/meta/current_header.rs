//! The header as the file has it now.

use alloc::rc::Rc;
use core::cell::RefCell;

use crate::format::header::Header;

/// What is known of the header, by all who share the file. It changes where a write of the header has become durable.
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

    /// What `look` finds in the header, without sharing it.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Header) -> T) -> T {
        look(&self.header.borrow())
    }

    pub(crate) fn set(&self, header: Header) {
        self.header.replace(Rc::new(header));
    }
}
