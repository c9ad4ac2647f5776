//! Converting the host's options for opening an image.

use alloc::rc::Rc;

use qcow2_web::OpenOptions;

use super::host::HostOpenOptions;
#[cfg(feature = "luks")]
use super::keys::unlocking;
use super::resolver::Resolver;
use super::runtime::Runtime;
use super::storage::JsStorage;

/// Returns the options for opening an image. The host supplies its backing files and passphrases.
pub(crate) fn open_options(
    runtime: &Rc<Runtime>,
    data_file: Option<JsStorage>,
    how: &HostOpenOptions,
) -> OpenOptions<JsStorage, Resolver> {
    let mut options = OpenOptions::new().backing(Resolver(runtime.clone())).write_through(how.write_through());
    if let Some(file) = data_file {
        options = options.data_file(file);
    }
    if let Some(bytes) = how.table_cache() {
        options = options.table_cache(bytes);
    }
    if let Some(bytes) = how.cluster_cache() {
        options = options.cluster_cache(bytes);
    }
    #[cfg(feature = "luks")]
    let options = unlocking(runtime, options, how);
    options
}
