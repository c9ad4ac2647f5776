//! The options of a check, and the progress of long operations.

use alloc::boxed::Box;
use core::fmt;
use core::ops::ControlFlow;

use crate::error::Misuse;

/// The default number of listed findings.
const DEFAULT_MAX_FINDINGS: usize = 1000;

/// The options for checking an image. Creating them does no I/O.
pub struct CheckOptions<'a> {
    max_findings: usize,
    on_progress: Option<Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>>,
}

/// The progress of a long operation: `done` of `total`, in an arbitrary unit.
///
/// The total may grow during the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The completed amount.
    pub done: u64,
    /// The total amount, as far as it is known; 0 if there is nothing to do.
    pub total: u64,
}

impl<'a> CheckOptions<'a> {
    /// Lists up to 1000 findings and reports no progress.
    pub fn new() -> Self {
        Self { max_findings: DEFAULT_MAX_FINDINGS, on_progress: None }
    }

    /// Limits how many findings are listed; all are counted. Default 1000.
    #[must_use]
    pub fn max_findings(self, max_findings: usize) -> Self {
        Self { max_findings, ..self }
    }

    /// Sets the callback for progress, which is called many times.
    ///
    /// [`ControlFlow::Break`] ends the check with [`Misuse::Cancelled`].
    #[must_use]
    pub fn on_progress(self, on_progress: impl FnMut(Progress) -> ControlFlow<()> + 'a) -> Self {
        Self { on_progress: Some(Box::new(on_progress)), ..self }
    }

    /// How many findings are listed.
    pub(in crate::image) fn listed(&self) -> usize {
        self.max_findings
    }

    pub(super) fn report_progress(&mut self, progress: Progress) -> Result<(), Misuse> {
        match self.on_progress.as_mut().map(|report| report(progress)) {
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
