//! The host as the supplier of backing files.

use alloc::rc::Rc;

use wasm_bindgen::JsCast;

use super::engine::Engine;
use super::error::Fault;
use super::host::Supplied;
use super::storage::JsStorage;
use qcow2_web::{BackingFile, BackingFormat, BackingRequest, BackingResolver, Supply};

/// Asks the host.
pub(crate) struct Resolver(pub(crate) Rc<Engine>);

impl BackingResolver<JsStorage> for Resolver {
    async fn resolve(&mut self, request: BackingRequest<'_>) -> Result<Supply<JsStorage>, Fault> {
        let engine = &self.0;
        let answer = engine.requests.ask(None, |number| {
            engine.host.resolve(number, request.name, request.format, request.depth);
        });
        let answer = answer.await?;
        if answer.is_undefined() {
            return Ok(Supply::Nothing);
        }
        if answer.is_null() {
            return Ok(Supply::Absent);
        }
        let supplied: Supplied = answer.unchecked_into();
        Ok(Supply::File(BackingFile {
            storage: engine.storage(supplied.storage()),
            format: supplied.format().as_deref().and_then(BackingFormat::from_name),
            data_file: supplied.data_file().map(|file| engine.storage(file)),
        }))
    }
}
