//! In a build without ciphers, no image is created encrypted.

use super::open::OpenOptions;
use crate::error::{CreateFault, Misuse};
use crate::storage::StorageMut;

#[derive(Clone, Debug)]
pub(super) enum EncryptOptions {}

pub(super) enum Sealed {}

impl EncryptOptions {
    pub(super) fn method(&self) -> u32 {
        match *self {}
    }

    pub(super) fn area(&self) -> Result<u64, CreateFault> {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "it stands for one that waits")]
    pub(super) async fn seal(&self) -> Result<Sealed, Misuse> {
        match *self {}
    }

    pub(super) fn unlock<S, R>(&self, _options: OpenOptions<S, R>) -> OpenOptions<S, R> {
        match *self {}
    }
}

impl Sealed {
    #[expect(clippy::unused_async, reason = "it stands for one that waits")]
    pub(super) async fn write<S: StorageMut>(&self, _storage: &S, _start: u64) -> Result<(), S::Error> {
        match *self {}
    }
}
