//! Telling the host how far something long has come.

use core::ops::ControlFlow;

use qcow2_web::Progress;

use super::host::HostProgress;
use super::object::number;

/// What an operation of the engine tells, and is told by, the host; nothing where the host doesn't listen.
pub(crate) fn tell(host: Option<HostProgress>) -> impl FnMut(Progress) -> ControlFlow<()> {
    move |progress| match &host {
        Some(host) if !host.tell(number(progress.done), number(progress.total)) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}
