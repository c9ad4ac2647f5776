//! How a new key is made: the host's chance, and as much work as it wants.

use alloc::rc::Rc;

use super::engine::Engine;
use super::host::HostKeyOptions;
use super::keys::HostDerivation;
use qcow2_web::{Entropy, HashAlgorithm, KeyDerivation, KeyOptions, NoEntropy, calibrate};

/// How the host has the key of a passphrase made.
pub(super) struct NewKey {
    engine: Rc<Engine>,
    derivation: Rc<dyn KeyDerivation>,
    iterations: Option<u32>,
    milliseconds: Option<f64>,
}

impl NewKey {
    pub(super) fn new(engine: Rc<Engine>, derivation: Rc<dyn KeyDerivation>, host: &HostKeyOptions) -> Self {
        Self { engine, derivation, iterations: host.iterations(), milliseconds: host.iteration_time() }
    }

    /// Finds out how many iterations that takes, for a key of so many bytes.
    pub(super) async fn options(self, hash: HashAlgorithm, key_bytes: u32) -> KeyOptions {
        let iterations = match (self.iterations, self.milliseconds) {
            (None, Some(milliseconds)) => self.calibrate(hash, key_bytes, milliseconds).await,
            (iterations, _) => iterations,
        };
        let options = KeyOptions::new(HostEntropy(self.engine)).key_derivation(self.derivation);
        match iterations {
            Some(iterations) => options.iterations(iterations),
            None => options,
        }
    }

    async fn calibrate(&self, hash: HashAlgorithm, key_bytes: u32, milliseconds: f64) -> Option<u32> {
        let (engine, length) = (&self.engine, usize::try_from(key_bytes).unwrap_or(0));
        // Not watched: these iterations are not those that are waited for.
        let derivation = HostDerivation::new(engine.clone(), None);
        calibrate(&derivation, hash, length, milliseconds, || engine.host.now()).await.continue_value()
    }
}

/// Random bytes of the host's.
pub(super) struct HostEntropy(pub(super) Rc<Engine>);

impl Entropy for HostEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        self.0.host.random(bytes).map_err(|_| NoEntropy)
    }
}
