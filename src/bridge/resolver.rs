//! Resolving backing files with the host.

use alloc::rc::Rc;

use qcow2_web::{BackingFile, BackingFormat, BackingRequest, BackingResolver, Supply};
use wasm_bindgen::JsCast;

use super::error::Fault;
use super::host::Supplied;
use super::runtime::Runtime;
use super::storage::JsStorage;

/// Requests backing files from the host.
pub(crate) struct Resolver(pub(crate) Rc<Runtime>);

impl BackingResolver<JsStorage> for Resolver {
    async fn resolve(&mut self, request: BackingRequest<'_>) -> Result<Supply<JsStorage>, Fault> {
        let runtime = &self.0;
        let answer = runtime.requests.ask(None, |number| {
            runtime.host.resolve(number, request.name, request.format, request.depth);
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
            storage: JsStorage::new(supplied.storage(), runtime),
            format: supplied.format().as_deref().and_then(BackingFormat::from_name),
            data_file: supplied.data_file().map(|file| JsStorage::new(file, runtime)),
        }))
    }
}
