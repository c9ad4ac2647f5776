//! Unlocking in a build without ciphers: the header's own check refuses encrypted images.

use crate::error::Error;
use crate::image::open::header::StoredHeader;
use crate::meta::encrypted::Encrypted;
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

#[derive(Debug, Default)]
pub(in crate::image) struct Keys(());

impl Keys {
    #[expect(clippy::unused_async, reason = "it replaces an async function")]
    pub(in crate::image) async fn unlock<S: Storage>(
        &mut self,
        _file: &HostFile<S>,
        _stored: &StoredHeader,
        _depth: u32,
    ) -> Result<Option<Encrypted>, Error<S::Error>> {
        Ok(None)
    }
}
