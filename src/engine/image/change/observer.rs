//! Observers of changes, and pauses of long operations.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;

use futures_util::future::LocalBoxFuture;

/// Notified of a range of the disk, in bytes, that is about to change.
pub(crate) type Observer = Rc<dyn Fn(Range<u64>)>;

/// Returns what a long operation waits for before its next step; `None` if it can continue.
pub(crate) type Pause = Rc<dyn Fn() -> Option<LocalBoxFuture<'static, ()>>>;

/// The observers of one disk.
#[derive(Default)]
pub(crate) struct Observers(RefCell<Vec<Observer>>);

impl Observers {
    pub(crate) fn add(&self, observer: Observer) {
        self.0.borrow_mut().push(observer);
    }

    /// Notifies every observer that `range` is about to change.
    #[inline]
    pub(crate) fn notify(&self, range: &Range<u64>) {
        let observers = self.0.borrow();
        if !observers.is_empty() {
            notify_each(&observers, range);
        }
    }
}

#[cold]
fn notify_each(observers: &[Observer], range: &Range<u64>) {
    for observer in observers {
        observer(range.clone());
    }
}
