//! Reporting the progress of long operations to the host.

use core::ops::ControlFlow;

use qcow2_web::Progress;

use super::host::HostProgress;
use super::object::number;

/// Returns a progress callback that calls the host, or does nothing without one.
pub(crate) fn report_to(host: Option<HostProgress>) -> impl FnMut(Progress) -> ControlFlow<()> {
    move |progress| match &host {
        Some(host) if !host.report(number(progress.done), number(progress.total)) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}
