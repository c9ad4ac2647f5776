//! How a check is done, and how it reports its progress.

use alloc::boxed::Box;
use core::fmt;
use core::ops::ControlFlow;

use crate::error::Misuse;

/// How many findings are listed, unless the options say otherwise.
const DEFAULT_MAX_FINDINGS: usize = 1000;

/// How to check an image. Making it does no I/O.
pub struct CheckOptions<'a> {
    max_findings: usize,
    on_progress: Option<Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>>,
}

/// How far a long operation has come: `done` of `total`, in a unit of its own. The total may grow on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// How much there is to do, as far as is known; 0 where there is nothing.
    pub total: u64,
}

impl<'a> CheckOptions<'a> {
    /// Lists up to 1000 findings, and tells nobody how far it is.
    pub fn new() -> Self {
        Self { max_findings: DEFAULT_MAX_FINDINGS, on_progress: None }
    }

    /// Bounds how many findings are listed; all are counted. Default 1000.
    #[must_use]
    pub fn max_findings(self, max_findings: usize) -> Self {
        Self { max_findings, ..self }
    }

    /// Sets who is told, many times, how far the check is. [`ControlFlow::Break`] ends it with
    /// [`Misuse::Cancelled`].
    #[must_use]
    pub fn on_progress(self, on_progress: impl FnMut(Progress) -> ControlFlow<()> + 'a) -> Self {
        Self { on_progress: Some(Box::new(on_progress)), ..self }
    }

    /// How many findings are listed.
    pub(in crate::image) fn listed(&self) -> usize {
        self.max_findings
    }

    pub(super) fn report_progress(&mut self, progress: Progress) -> Result<(), Misuse> {
        match self.on_progress.as_mut().map(|told| told(progress)) {
            Some(ControlFlow::Break(())) => Err(Misuse::Cancelled),
            Some(ControlFlow::Continue(())) | None => Ok(()),
        }
    }
}

impl Default for CheckOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CheckOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckOptions").field("max_findings", &self.max_findings).finish_non_exhaustive()
    }
}
