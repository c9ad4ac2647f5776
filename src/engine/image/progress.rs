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

    /// Adds steps to the total.
    pub(super) fn expect_more(&mut self, steps: u64) {
        self.progress.total += steps;
    }

    /// Reports one more step. Fails if the callback cancels the operation.
    pub(super) fn step(&mut self) -> Result<(), Misuse> {
        self.progress.done += 1;
        self.report()
    }

    /// Reports up to `steps` more steps, and not more than expected. Fails if the callback cancels the operation.
    pub(super) fn advance(&mut self, steps: u64) -> Result<(), Misuse> {
        self.progress.done = (self.progress.done + steps).min(self.progress.total);
        self.report()
    }

    fn report(&mut self) -> Result<(), Misuse> {
        match (self.report)(self.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Misuse::Cancelled),
        }
    }
}
