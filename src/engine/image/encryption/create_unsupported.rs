//! Creating images in a build without ciphers: they are never encrypted.

use crate::error::{CreateFault, Misuse};
use crate::image::open::OpenOptions;
use crate::storage::StorageMut;

#[derive(Clone, Debug)]
pub(in crate::image) enum EncryptOptions {}

pub(in crate::image) enum Sealed {}

impl EncryptOptions {
    pub(in crate::image) fn method(&self) -> u32 {
        match *self {}
    }

    pub(in crate::image) fn area(&self) -> Result<u64, CreateFault> {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "it replaces an async function")]
    pub(in crate::image) async fn seal(&self) -> Result<Sealed, Misuse> {
        match *self {}
    }

    pub(in crate::image) fn unlock<S, R>(&self, _options: OpenOptions<S, R>) -> OpenOptions<S, R> {
        match *self {}
    }
}

impl Sealed {
    #[expect(clippy::unused_async, reason = "it replaces an async function")]
    pub(in crate::image) async fn write<S: StorageMut>(&self, _storage: &S, _start: u64) -> Result<(), S::Error> {
        match *self {}
    }
}
