//! Futures of the engine, run for JavaScript.

use alloc::boxed::Box;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use futures_util::future::{AbortHandle, abortable};
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

type Task = Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>>;

/// Starts a future. Returns its value, or throws its error, if it needs not wait; else returns a [`Pending`].
pub(crate) fn start(future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Result<JsValue, JsValue> {
    run(Box::pin(future))
}

fn run(mut task: Task) -> Result<JsValue, JsValue> {
    // Nobody need be woken: what waits is polled again by the promise's own executor.
    if let Poll::Ready(result) = task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return result;
    }
    let (task, handle) = abortable(task);
    let promise = future_to_promise(async { task.await.unwrap_or(Err(JsValue::UNDEFINED)) });
    Ok(Pending { promise, handle }.into())
}

/// A call that waits for a storage.
#[wasm_bindgen]
pub struct Pending {
    promise: Promise,
    handle: AbortHandle,
}

#[wasm_bindgen]
impl Pending {
    /// Settles with the call's value or error.
    #[wasm_bindgen(getter)]
    pub fn promise(&self) -> Promise {
        self.promise.clone()
    }

    /// Drops the call within the engine, and its requests with it. The promise is then rejected with `undefined`.
    pub fn cancel(&self) {
        self.handle.abort();
    }
}
