//! A JavaScript object as the engine's storage.

use alloc::format;
use alloc::rc::Rc;

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue};

use super::engine::Engine;
use super::error::Fault;
use super::host::HostStorage;
use super::object::number;
use crate::storage::Storage;

/// A storage that JavaScript provides.
pub(crate) struct JsStorage {
    host: HostStorage,
    engine: Rc<Engine>,
    sync: bool,
    size: u64,
}

impl JsStorage {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the host says integers from 0")]
    pub(crate) fn new(host: HostStorage, engine: Rc<Engine>) -> Self {
        let (sync, size) = (host.sync(), host.size() as u64);
        Self { host, engine, sync, size }
    }

    pub(crate) fn is_sync(&self) -> bool {
        self.sync
    }
}

impl Storage for JsStorage {
    type Error = Fault;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Fault> {
        if self.sync {
            return Ok(self.host.read_sync(number(offset), buf)?);
        }
        let length = number(buf.len() as u64);
        let answer = self.engine.requests.ask(Some(&self.host), |request| {
            self.host.read(request, number(offset), length);
        });
        take(&answer.await?, offset, buf)
    }

    async fn size(&self) -> Result<u64, Fault> {
        Ok(self.size)
    }
}

/// Copies what a storage answered to a request for `buf.len()` bytes at `offset`.
fn take(answer: &JsValue, offset: u64, buf: &mut [u8]) -> Result<(), Fault> {
    let asked = buf.len();
    let Some(bytes) = answer.dyn_ref::<Uint8Array>() else {
        return Err(Fault::Contract(format!(
            "the storage answered something other than a Uint8Array where {asked} bytes at offset {offset} were asked for"
        )));
    };
    let length = bytes.length() as usize;
    if length != asked {
        return Err(Fault::Contract(format!(
            "the storage answered {length} bytes where {asked} bytes at offset {offset} were asked for"
        )));
    }
    bytes.copy_to(buf);
    Ok(())
}
