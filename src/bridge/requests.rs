//! The engine's requests to JavaScript.

use alloc::collections::BTreeMap;
use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use wasm_bindgen::JsValue;

use super::host::HostStorage;

/// The pending requests, by number.
#[derive(Default)]
pub(crate) struct Requests(RefCell<State>);

#[derive(Default)]
struct State {
    last: u32,
    waiting: BTreeMap<u32, Slot>,
}

enum Slot {
    Asked(Option<Waker>),
    Answered(Result<JsValue, JsValue>),
}

impl Requests {
    /// Makes a request: `ask` receives its number. `storage` is notified if the answer is dropped before it arrives.
    pub(crate) fn ask<'a>(&'a self, storage: Option<&'a HostStorage>, ask: impl FnOnce(u32)) -> Answer<'a> {
        let mut state = self.0.borrow_mut();
        state.last = state.last.wrapping_add(1);
        let number = state.last;
        state.waiting.insert(number, Slot::Asked(None));
        drop(state);
        ask(number);
        Answer { requests: self, number, storage }
    }

    /// Receives an answer, or an exception instead. It is ignored if its request was dropped.
    pub(crate) fn answer(&self, number: u32, answer: Result<JsValue, JsValue>) {
        let waker = match self.0.borrow_mut().waiting.get_mut(&number) {
            Some(slot) => match core::mem::replace(slot, Slot::Answered(answer)) {
                Slot::Asked(waker) => waker,
                Slot::Answered(_) => None,
            },
            None => None,
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The answer to a request.
pub(crate) struct Answer<'a> {
    requests: &'a Requests,
    number: u32,
    storage: Option<&'a HostStorage>,
}

impl Future for Answer<'_> {
    type Output = Result<JsValue, JsValue>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.requests.0.borrow_mut();
        if let Some(Slot::Answered(answer)) = state.waiting.remove(&self.number) {
            return Poll::Ready(answer);
        }
        state.waiting.insert(self.number, Slot::Asked(Some(context.waker().clone())));
        Poll::Pending
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        // End the borrow before JavaScript runs.
        let removed = self.requests.0.borrow_mut().waiting.remove(&self.number);
        if let (Some(Slot::Asked(_)), Some(storage)) = (removed, self.storage) {
            storage.abort(self.number);
        }
    }
}
