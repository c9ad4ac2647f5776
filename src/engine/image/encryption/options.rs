//! How an encrypted image is opened.

use alloc::boxed::Box;
use alloc::rc::Rc;

use super::key_derivation::KeyDerivation;
use super::unlock::{PassphraseRequest, Source};
use crate::crypto::passphrase::Passphrase;
use crate::image::open::OpenOptions;

impl<S, R> OpenOptions<S, R> {
    /// Supplies the passphrase of the image, and of every file under it that is encrypted.
    ///
    /// QEMU's legacy encryption can't tell a wrong passphrase: the disk then reads as noise.
    #[must_use]
    pub fn passphrase(self, passphrase: impl Into<Passphrase>) -> Self {
        self.source(Source::Given(passphrase.into()))
    }

    /// Sets who is asked for the passphrase of each encrypted file, once it is needed. `None` ends the opening with
    /// [`Missing::Passphrase`](crate::Missing).
    #[must_use]
    pub fn ask_passphrase<F>(self, mut ask: impl FnMut(PassphraseRequest) -> F + 'static) -> Self
    where
        F: Future<Output = Option<Passphrase>> + 'static,
    {
        self.source(Source::Asked(Box::new(move |request| Box::pin(ask(request)))))
    }

    /// Opens encrypted files without their passphrases. What they are can be told, and their structure be read; their
    /// data is [`Missing::Passphrase`](crate::Missing).
    #[must_use]
    pub fn without_passphrase(self) -> Self {
        self.source(Source::NotNeeded)
    }

    /// Sets who derives keys from passphrases. By default this crate does it, in one go.
    #[must_use]
    pub fn key_derivation(mut self, derivation: Rc<dyn KeyDerivation>) -> Self {
        self.keys.derivation = derivation;
        self
    }

    /// Bounds the iterations of a derivation, which an image may ask for as it likes. Default 100 million.
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
