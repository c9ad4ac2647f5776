//! Deriving keys from passphrases, by this crate or by a faster library that the caller supplies.

use alloc::boxed::Box;
use core::ops::ControlFlow;

use futures_util::future::LocalBoxFuture;

use crate::crypto::pbkdf2::Derivation;
use crate::error::Misuse;

/// A replacement for this crate's key derivation.
///
/// It can use a faster library, or derive in steps with [`Pbkdf2`](crate::Pbkdf2).
pub trait KeyDerivation {
    /// Derives `key` with PBKDF2.
    ///
    /// Dropping the future cancels it. A break ends the operation that needs the key, with [`Misuse::Cancelled`].
    fn derive<'a>(&'a self, derivation: Derivation<'a>, key: &'a mut [u8]) -> LocalBoxFuture<'a, ControlFlow<()>>;
}

/// Derives in Rust without waiting, so that an operation that waits for nothing else completes at its first poll.
pub(in crate::image) struct SynchronousDerivation;

impl KeyDerivation for SynchronousDerivation {
    fn derive<'a>(&'a self, derivation: Derivation<'a>, key: &'a mut [u8]) -> LocalBoxFuture<'a, ControlFlow<()>> {
        derivation.run(key);
        Box::pin(core::future::ready(ControlFlow::Continue(())))
    }
}

/// Derives `key`. Fails with [`Misuse::Cancelled`] if the derivation breaks off.
pub(in crate::image) async fn derive(
    by: &dyn KeyDerivation,
    derivation: Derivation<'_>,
    key: &mut [u8],
) -> Result<(), Misuse> {
    match by.derive(derivation, key).await {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Misuse::Cancelled),
    }
}
