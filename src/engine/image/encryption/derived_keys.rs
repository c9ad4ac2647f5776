//! A cache of derived keys, for a file that is created and then opened.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::ops::ControlFlow;

use futures_util::future::LocalBoxFuture;
use zeroize::Zeroizing;

use super::key_derivation::KeyDerivation;
use crate::crypto::pbkdf2::Derivation;
use crate::format::cipher_spec::HashAlgorithm;

/// Derives keys with another [`KeyDerivation`] and caches them, so that none is derived twice.
///
/// An image that is created and then opened needs each of its keys twice, and deriving one may take a second. The
/// cached keys are wiped on drop, so drop this as soon as possible.
pub struct RememberedKeys {
    inner: Rc<dyn KeyDerivation>,
    known: RefCell<Vec<Known>>,
}

struct Known {
    hash: HashAlgorithm,
    password: Zeroizing<Vec<u8>>,
    salt: Vec<u8>,
    iterations: u32,
    key: Zeroizing<Vec<u8>>,
}

impl RememberedKeys {
    /// Derives keys with `inner`.
    pub fn new(inner: Rc<dyn KeyDerivation>) -> Self {
        Self { inner, known: RefCell::default() }
    }

    fn recall(&self, derivation: &Derivation<'_>, key: &mut [u8]) -> bool {
        let known = self.known.borrow();
        let found = known.iter().find(|known| known.is_of(derivation, key.len()));
        if let Some(found) = found {
            key.copy_from_slice(&found.key);
        }
        found.is_some()
    }
}

impl KeyDerivation for RememberedKeys {
    fn derive<'a>(&'a self, derivation: Derivation<'a>, key: &'a mut [u8]) -> LocalBoxFuture<'a, ControlFlow<()>> {
        Box::pin(async move {
            if self.recall(&derivation, key) {
                return ControlFlow::Continue(());
            }
            self.inner.derive(derivation, key).await?;
            self.known.borrow_mut().push(Known {
                hash: derivation.hash,
                password: Zeroizing::new(derivation.password.to_vec()),
                salt: derivation.salt.to_vec(),
                iterations: derivation.iterations,
                key: Zeroizing::new(key.to_vec()),
            });
            ControlFlow::Continue(())
        })
    }
}

impl fmt::Debug for RememberedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RememberedKeys").finish_non_exhaustive()
    }
}

impl Known {
    fn is_of(&self, derivation: &Derivation<'_>, length: usize) -> bool {
        self.hash == derivation.hash
            && *self.password == derivation.password
            && self.salt == derivation.salt
            && self.iterations == derivation.iterations
            && self.key.len() == length
    }
}
