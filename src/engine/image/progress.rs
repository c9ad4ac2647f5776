//! How far something that takes long has come.

use alloc::boxed::Box;
use core::ops::ControlFlow;

use super::check::Progress;
use crate::error::Misuse;

/// Tells somebody how many of all steps are done.
pub(super) struct Steps<'a> {
    progress: Progress,
    tell: Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(tell: impl FnMut(Progress) -> ControlFlow<()> + 'a) -> Self {
        Self { progress: Progress { done: 0, total: 0 }, tell: Box::new(tell) }
    }

    /// Tells nobody.
    pub(super) fn none() -> Self {
        Self::new(|_| ControlFlow::Continue(()))
    }

    /// So many steps are to be done.
    pub(super) fn expect(&mut self, steps: usize) {
        self.progress.total = steps as u64;
    }

    /// One more is done. Fails where that is to be the last one.
    pub(super) fn step(&mut self) -> Result<(), Misuse> {
        self.progress.done += 1;
        match (self.tell)(self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Misuse::Cancelled),
        }
    }
}
