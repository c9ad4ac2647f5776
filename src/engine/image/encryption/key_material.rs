//! What new keys are made of: chance, and work.

use alloc::rc::Rc;
use core::fmt;
use core::ops::ControlFlow;

use super::key_derivation::{InOneGo, KeyDerivation};
use crate::crypto::pbkdf2::Derivation;
use crate::error::Misuse;
use crate::format::cipher_spec::HashAlgorithm;

/// What is safe for a passphrase of a person's, in late 2026, and half a second in a browser.
const DEFAULT_ITERATIONS: u32 = 1_000_000;
/// What LUKS asks for at the least.
const MIN_ITERATIONS: u32 = 1000;

/// A source of random bytes that nobody can guess, such as the operating system's.
pub trait Entropy {
    /// Fills `bytes`, all of them or an error.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

/// There are no random bytes to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

impl<F: Fn(&mut [u8]) -> Result<(), NoEntropy>> Entropy for F {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        self(bytes)
    }
}

/// How the key of a passphrase is made.
#[derive(Clone)]
pub struct KeyOptions {
    pub(in crate::image) entropy: Rc<dyn Entropy>,
    pub(in crate::image) derivation: Rc<dyn KeyDerivation>,
    pub(in crate::image) iterations: u32,
}

impl KeyOptions {
    /// With a million iterations, by this crate and in one go.
    pub fn new(entropy: impl Entropy + 'static) -> Self {
        Self { entropy: Rc::new(entropy), derivation: Rc::new(InOneGo), iterations: DEFAULT_ITERATIONS }
    }

    /// How many iterations it takes to try a passphrase, whoever tries it; at least 1000. [`calibrate`] finds out how many
    /// take how long.
    #[must_use]
    pub fn iterations(self, iterations: u32) -> Self {
        Self { iterations: iterations.max(MIN_ITERATIONS), ..self }
    }

    /// Sets who derives keys. By default this crate does it, in one go.
    #[must_use]
    pub fn key_derivation(self, derivation: Rc<dyn KeyDerivation>) -> Self {
        Self { derivation, ..self }
    }
}

impl fmt::Debug for KeyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyOptions").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// How many iterations take about `milliseconds` to derive a key of `key_bytes`, by `derivation` and on this machine.
///
/// `clock` gives milliseconds from any moment on. It takes a fifth of that time itself; a break is that of `derivation`.
pub async fn calibrate(
    derivation: &dyn KeyDerivation,
    hash: HashAlgorithm,
    key_bytes: usize,
    milliseconds: f64,
    clock: impl Fn() -> f64,
) -> ControlFlow<(), u32> {
    let mut key = alloc::vec![0; key_bytes];
    let mut iterations = MIN_ITERATIONS;
    loop {
        let start = clock();
        let trial = Derivation { hash, password: b"a passphrase to measure with", salt: &[0x5a; 32], iterations };
        derivation.derive(trial, &mut key).await?;
        let taken = clock() - start;
        // A clock that stands still ends it too.
        if taken * 8.0 >= milliseconds || iterations > u32::MAX / 4 {
            let wanted = f64::from(iterations) * milliseconds / taken.max(f64::MIN_POSITIVE);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
            return ControlFlow::Continue((wanted as u32).max(MIN_ITERATIONS));
        }
        iterations *= 2;
    }
}

impl From<NoEntropy> for Misuse {
    fn from(_: NoEntropy) -> Self {
        Self::NoEntropy
    }
}
