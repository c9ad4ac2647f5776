//! The options for opening an encrypted image.

use alloc::boxed::Box;
use alloc::rc::Rc;

use super::key_derivation::KeyDerivation;
use super::unlock::{PassphraseRequest, Source};
use crate::crypto::passphrase::Passphrase;
use crate::image::open::OpenOptions;

impl<S, R> OpenOptions<S, R> {
    /// Sets the passphrase of the image and of every encrypted backing file.
    ///
    /// QEMU's legacy encryption cannot detect a wrong passphrase: the disk then reads as noise.
    #[must_use]
    pub fn passphrase(self, passphrase: impl Into<Passphrase>) -> Self {
        self.source(Source::Given(passphrase.into()))
    }

    /// Sets the callback that returns the passphrase of each encrypted file, when it is needed.
    ///
    /// If it returns `None`, opening fails with [`Missing::Passphrase`](crate::Missing).
    #[must_use]
    pub fn ask_passphrase<F>(self, mut ask: impl FnMut(PassphraseRequest) -> F + 'static) -> Self
    where
        F: Future<Output = Option<Passphrase>> + 'static,
    {
        self.source(Source::Callback(Box::new(move |request| Box::pin(ask(request)))))
    }

    /// Opens encrypted files without their passphrases.
    ///
    /// Their properties and their structure can be read. Reading their data fails with
    /// [`Missing::Passphrase`](crate::Missing).
    #[must_use]
    pub fn without_passphrase(self) -> Self {
        self.source(Source::NotNeeded)
    }

    /// Sets the key derivation. By default this crate derives keys without yielding.
    #[must_use]
    pub fn key_derivation(mut self, derivation: Rc<dyn KeyDerivation>) -> Self {
        self.keys.derivation = derivation;
        self
    }

    /// Limits the iterations of a derivation, which the image chooses. Default 100 million.
    #[must_use]
    pub fn max_iterations(mut self, max_iterations: u32) -> Self {
        self.keys.max_iterations = max_iterations;
        self
    }

    fn source(mut self, source: Source) -> Self {
        self.keys.source = source;
        self
    }
}
