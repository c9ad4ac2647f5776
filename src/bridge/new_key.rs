//! The options for a new key: the host's random bytes and iterations.

use alloc::rc::Rc;

use qcow2_web::{Entropy, HashAlgorithm, KeyDerivation, KeyOptions, NoEntropy, calibrate};

use super::host::HostKeyOptions;
use super::keys::HostDerivation;
use super::runtime::Runtime;

/// The options that the host asks for.
pub(super) struct NewKey {
    runtime: Rc<Runtime>,
    derivation: Rc<dyn KeyDerivation>,
    iterations: Option<u32>,
    milliseconds: Option<f64>,
}

impl NewKey {
    pub(super) fn new(runtime: Rc<Runtime>, derivation: Rc<dyn KeyDerivation>, host: &HostKeyOptions) -> Self {
        Self { runtime, derivation, iterations: host.iterations(), milliseconds: host.iteration_time() }
    }

    /// Returns the key options, measuring the iterations if needed, for a key of `key_bytes`.
    pub(super) async fn options(self, hash: HashAlgorithm, key_bytes: u32) -> KeyOptions {
        let iterations = match (self.iterations, self.milliseconds) {
            (None, Some(milliseconds)) => self.calibrate(hash, key_bytes, milliseconds).await,
            (iterations, _) => iterations,
        };
        let options = KeyOptions::new(HostEntropy(self.runtime)).key_derivation(self.derivation);
        match iterations {
            Some(iterations) => options.iterations(iterations),
            None => options,
        }
    }

    async fn calibrate(&self, hash: HashAlgorithm, key_bytes: u32, milliseconds: f64) -> Option<u32> {
        let (runtime, length) = (&self.runtime, usize::try_from(key_bytes).unwrap_or(0));
        // Without progress: these iterations are not part of the derivation.
        let derivation = HostDerivation::new(runtime.clone(), None);
        calibrate(&derivation, hash, length, milliseconds, || runtime.host.now()).await.continue_value()
    }
}

/// The random bytes of the host.
pub(super) struct HostEntropy(pub(super) Rc<Runtime>);

impl Entropy for HostEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        self.0.host.random(bytes).map_err(|_| NoEntropy)
    }
}
