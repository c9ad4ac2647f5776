//! The state that all calls on one image share: its tasks, its requests to the host, and its buffers.

use core::cell::Cell;

use qcow2_web::now_or_never;
use wasm_bindgen::JsValue;

use super::buffers::Buffers;
use super::host::Host;
use super::requests::Requests;
use super::tasks::{Outcome, Tasks};

/// The tasks, requests and buffers of one image, its snapshots and its backing chain.
pub(crate) struct Runtime {
    pub(crate) host: Host,
    pub(crate) requests: Requests,
    pub(crate) buffers: Buffers,
    tasks: Tasks,
    all_sync: Cell<bool>,
    /// Whether a call that cannot wait is running.
    in_sync_call: Cell<bool>,
}

impl Runtime {
    pub(crate) fn new(host: Host) -> Self {
        Self {
            host,
            requests: Requests::default(),
            buffers: Buffers::default(),
            tasks: Tasks::default(),
            all_sync: Cell::new(true),
            in_sync_call: Cell::new(false),
        }
    }

    /// Starts a task. Returns its value or error if it need not wait, otherwise its number.
    pub(crate) fn start(&self, task: impl Future<Output = Outcome> + 'static) -> Outcome {
        let started = self.tasks.start(task);
        self.run();
        started.unwrap_or_else(|number| Ok(number.into()))
    }

    /// Drops a task and its requests. The host is not notified of it any more.
    pub(crate) fn cancel(&self, task: u32) {
        self.tasks.cancel(task);
        // Other tasks may have waited for what this one was about to load.
        self.run();
    }

    /// Receives the host's answer to a request, or the exception instead, and runs the tasks that waited for it.
    pub(crate) fn answer(&self, request: u32, answer: Result<JsValue, JsValue>) {
        self.requests.answer(request, answer);
        self.run();
    }

    /// Returns whether every storage so far is synchronous.
    pub(crate) fn all_sync(&self) -> bool {
        self.all_sync.get()
    }

    /// Runs a call that cannot wait. Returns `None` if it would have to.
    pub(crate) fn call_sync<T>(&self, request: impl Future<Output = T>) -> Option<T> {
        let outer = self.in_sync_call.replace(true);
        let result = now_or_never(request);
        self.in_sync_call.set(outer);
        result
    }

    /// Returns whether a call that cannot wait is running.
    pub(crate) fn in_sync_call(&self) -> bool {
        self.in_sync_call.get()
    }

    /// Records that one of the storages is asynchronous.
    pub(crate) fn has_async_storage(&self) {
        self.all_sync.set(false);
    }

    fn run(&self) {
        self.tasks.run(|task, outcome| match outcome {
            Ok(value) => self.host.done(task, value),
            Err(error) => self.host.failed(task, error),
        });
    }
}
