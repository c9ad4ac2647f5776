//! The progress of a long operation.

use alloc::boxed::Box;
use core::ops::ControlFlow;

use super::check::Progress;
use crate::error::Misuse;

/// Reports how many of all steps are done.
pub(super) struct Steps<'a> {
    progress: Progress,
    report: Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(report: impl FnMut(Progress) -> ControlFlow<()> + 'a) -> Self {
        Self { progress: Progress { done: 0, total: 0 }, report: Box::new(report) }
    }

    /// Reports nothing.
    pub(super) fn none() -> Self {
        Self::new(|_| ControlFlow::Continue(()))
    }

    /// Sets the total number of steps.
    pub(super) fn expect(&mut self, steps: usize) {
        self.progress.total = steps as u64;
    }

    /// Reports one more step. Fails if the callback cancels the operation.
    pub(super) fn step(&mut self) -> Result<(), Misuse> {
        self.progress.done += 1;
        match (self.report)(self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Misuse::Cancelled),
        }
    }
}
