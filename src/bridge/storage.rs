//! A JavaScript object as the engine's storage.

use alloc::format;
use alloc::rc::Rc;

use js_sys::Uint8Array;
use qcow2_web::{Storage, StorageMut};
use wasm_bindgen::{JsCast, JsValue};

use super::buffers::Bytes;
use super::error::Fault;
use super::host::HostStorage;
use super::object::{integer, number};
use super::runtime::Runtime;

/// A storage that JavaScript provides. A clone is the same storage.
#[derive(Clone)]
pub(crate) struct JsStorage {
    host: HostStorage,
    runtime: Rc<Runtime>,
    sync: bool,
    takes_turns: bool,
    writable: bool,
    /// The length of a read-only storage, which is constant while it is open.
    size: u64,
}

impl JsStorage {
    pub(crate) fn new(host: HostStorage, runtime: &Rc<Runtime>) -> Self {
        let (sync, writable, size) = (host.sync(), host.writable(), integer(host.size()));
        if !sync {
            runtime.has_async_storage();
        }
        let takes_turns = sync && host.takes_turns();
        Self { host, runtime: runtime.clone(), sync, takes_turns, writable, size }
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Writes an array to a synchronous storage, without a copy.
    pub(crate) fn write_from(&self, offset: u64, bytes: &Bytes) -> Result<(), Fault> {
        Ok(self.host.write_from(number(offset), bytes)?)
    }

    /// Waits before a request to a synchronous storage if other tasks want the thread.
    async fn take_turn(&self) -> Result<(), Fault> {
        if self.takes_turns && self.host.is_turn_over() {
            self.ask(|request| self.host.next_turn(request)).await?;
        }
        Ok(())
    }

    /// Makes a request to the host.
    async fn ask(&self, ask: impl FnOnce(u32)) -> Result<JsValue, Fault> {
        Ok(self.runtime.requests.ask(Some(&self.host), ask).await?)
    }
}

impl Storage for JsStorage {
    type Error = Fault;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Fault> {
        if self.sync {
            self.take_turn().await?;
            return Ok(self.host.read_sync(number(offset), buf)?);
        }
        let length = number(buf.len() as u64);
        let answer = self.ask(|request| self.host.read(request, number(offset), length)).await?;
        take(&answer, offset, buf)
    }

    async fn size(&self) -> Result<u64, Fault> {
        if !self.writable {
            return Ok(self.size);
        }
        if self.sync {
            return Ok(integer(self.host.size_sync()?));
        }
        let answer = self.ask(|request| self.host.measure(request)).await?;
        Ok(answer.as_f64().map_or(0, integer))
    }
}

impl StorageMut for JsStorage {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Fault> {
        if self.sync {
            self.take_turn().await?;
            return Ok(self.host.write_sync(number(offset), buf)?);
        }
        self.ask(|request| self.host.write(request, number(offset), Uint8Array::from(buf))).await?;
        Ok(())
    }

    async fn set_size(&self, size: u64) -> Result<(), Fault> {
        if self.sync {
            self.take_turn().await?;
            return Ok(self.host.truncate_sync(number(size))?);
        }
        self.ask(|request| self.host.truncate(request, number(size))).await?;
        Ok(())
    }

    async fn flush(&self) -> Result<(), Fault> {
        if self.sync {
            self.take_turn().await?;
            return Ok(self.host.flush_sync()?);
        }
        self.ask(|request| self.host.flush(request)).await?;
        Ok(())
    }
}

/// Copies a storage's answer to a request for `buf.len()` bytes at `offset`.
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
