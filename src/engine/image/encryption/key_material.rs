//! The inputs of new keys: random bytes and derivation work.

use alloc::rc::Rc;
use core::fmt;
use core::ops::ControlFlow;

use super::key_derivation::{KeyDerivation, SynchronousDerivation};
use crate::crypto::pbkdf2::Derivation;
use crate::error::Misuse;
use crate::format::cipher_spec::HashAlgorithm;

/// A safe value for a passphrase chosen by a person, as of late 2026; takes half a second in a browser.
const DEFAULT_ITERATIONS: u32 = 1_000_000;
/// The minimum of LUKS.
const MIN_ITERATIONS: u32 = 1000;

/// A source of unpredictable random bytes, such as that of the operating system.
pub trait Entropy {
    /// Fills `bytes` with random bytes, all of them or an error.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

/// No random bytes are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy;

impl<F: Fn(&mut [u8]) -> Result<(), NoEntropy>> Entropy for F {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        self(bytes)
    }
}

/// The options for deriving the key of a passphrase.
#[derive(Clone)]
pub struct KeyOptions {
    pub(in crate::image) entropy: Rc<dyn Entropy>,
    pub(in crate::image) derivation: Rc<dyn KeyDerivation>,
    pub(in crate::image) iterations: u32,
}

impl KeyOptions {
    /// Options with a million iterations, derived by this crate without yielding.
    pub fn new(entropy: impl Entropy + 'static) -> Self {
        Self { entropy: Rc::new(entropy), derivation: Rc::new(SynchronousDerivation), iterations: DEFAULT_ITERATIONS }
    }

    /// Sets the number of iterations for trying a passphrase, at least 1000.
    ///
    /// The cost is the same for an attacker. [`calibrate`] measures how many iterations take how long.
    #[must_use]
    pub fn iterations(self, iterations: u32) -> Self {
        Self { iterations: iterations.max(MIN_ITERATIONS), ..self }
    }

    /// Sets the key derivation. By default this crate derives keys without yielding.
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

/// Returns how many iterations take about `milliseconds` with `derivation` on this machine.
///
/// They are measured for a key of `key_bytes`.
///
/// `clock` returns milliseconds since an arbitrary moment. The measurement takes a fifth of the time itself. A break
/// comes from `derivation`.
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
        let elapsed = clock() - start;
        // The limit also ends the loop if the clock does not advance.
        if elapsed * 8.0 >= milliseconds || iterations > u32::MAX / 4 {
            let wanted = f64::from(iterations) * milliseconds / elapsed.max(f64::MIN_POSITIVE);
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
