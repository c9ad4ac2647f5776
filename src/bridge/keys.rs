//! Passphrases and derived keys, which the host provides.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use core::ops::ControlFlow;

use futures_util::future::LocalBoxFuture;
use js_sys::Uint8Array;
use qcow2_web::{Derivation, KeyDerivation, OpenOptions, Passphrase, PassphraseRequest, Pbkdf2};
use wasm_bindgen::JsCast;

use super::host::{HostOpenOptions, HostProgress};
use super::object::number;
use super::runtime::Runtime;
use super::storage::JsStorage;

/// The iterations between two pauses: about 10 ms in a browser, so that other tasks do not wait longer.
const STEP: u32 = 4096;

/// Adds the passphrases and the key derivation of the host to `options`.
pub(super) fn unlocking<R>(
    runtime: &Rc<Runtime>,
    options: OpenOptions<JsStorage, R>,
    host: &HostOpenOptions,
) -> OpenOptions<JsStorage, R> {
    let mut options = options.key_derivation(Rc::new(HostDerivation::new(runtime.clone(), None)));
    if let Some(iterations) = host.max_iterations() {
        options = options.max_iterations(iterations);
    }
    if host.locked() {
        return options.without_passphrase();
    }
    let runtime = runtime.clone();
    options.ask_passphrase(move |request| {
        let runtime = runtime.clone();
        async move { ask_passphrase(&runtime, request).await }
    })
}

/// Asks the host for the passphrase of a file.
async fn ask_passphrase(runtime: &Runtime, request: PassphraseRequest) -> Option<Passphrase> {
    let method = request.encryption.name();
    let answer = runtime.requests.ask(None, |number| runtime.host.passphrase(number, request.depth, method)).await;
    // The host does not report why there is no answer.
    answer.ok()?.dyn_ref::<Uint8Array>().map(take_passphrase)
}

/// Takes the passphrase from an array, and wipes the array.
pub(super) fn take_passphrase(bytes: &Uint8Array) -> Passphrase {
    let passphrase = Passphrase::from(bytes.to_vec());
    wipe(bytes);
    passphrase
}

fn wipe(bytes: &Uint8Array) {
    bytes.fill(0, 0, bytes.length());
}

/// Derives keys with the host, or here in steps if the host cannot.
pub(super) struct HostDerivation {
    runtime: Rc<Runtime>,
    progress: Option<HostProgress>,
    /// In iterations. The total includes all derivations so far.
    done: Cell<u64>,
    total: Cell<u64>,
}

impl HostDerivation {
    pub(super) fn new(runtime: Rc<Runtime>, progress: Option<HostProgress>) -> Self {
        Self { runtime, progress, done: Cell::new(0), total: Cell::new(0) }
    }

    async fn by_host(&self, derivation: Derivation<'_>, key: &mut [u8]) -> bool {
        let Derivation { hash, password, salt, iterations } = derivation;
        // At most 64.
        let length = u32::try_from(key.len()).unwrap_or(0);
        let answer = self.runtime.requests.ask(None, |request| {
            let (password, salt) = (Uint8Array::from(password), Uint8Array::from(salt));
            self.runtime.host.derive(request, hash.name(), password, salt, iterations, length);
        });
        let Ok(answer) = answer.await else {
            return false;
        };
        match answer.dyn_ref::<Uint8Array>() {
            Some(bytes) if bytes.length() == length => {
                bytes.copy_to(key);
                wipe(bytes);
                true
            }
            _ => false,
        }
    }

    async fn here(&self, derivation: Derivation<'_>, key: &mut [u8]) -> ControlFlow<()> {
        let mut running = Pbkdf2::new(&derivation, key.len());
        let before = self.done.get();
        let mut steps = 0;
        while !running.advance(STEP) {
            steps += 1;
            // A long key repeats the iterations several times.
            let done = u64::from(STEP) * steps;
            self.report(before + done.min(derivation.iterations.into()))?;
            // Whatever the answer, other tasks have run.
            let _ = self.runtime.requests.ask(None, |request| self.runtime.host.pause(request)).await;
        }
        running.finish(key);
        ControlFlow::Continue(())
    }

    fn report(&self, done: u64) -> ControlFlow<()> {
        match &self.progress {
            Some(host) if !host.report(number(done), number(self.total.get())) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl KeyDerivation for HostDerivation {
    fn derive<'a>(&'a self, derivation: Derivation<'a>, key: &'a mut [u8]) -> LocalBoxFuture<'a, ControlFlow<()>> {
        Box::pin(async move {
            let iterations = u64::from(derivation.iterations);
            self.total.set(self.total.get() + iterations);
            self.report(self.done.get())?;
            if !self.by_host(derivation, key).await {
                self.here(derivation, key).await?;
            }
            self.done.set(self.done.get() + iterations);
            self.report(self.done.get())
        })
    }
}
