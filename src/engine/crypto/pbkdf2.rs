//! PBKDF2 (RFC 8018) with HMAC, in steps, so that other tasks need not wait for it.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use hmac::digest::{FixedOutput, Update};
use hmac::{EagerHash, Hmac, KeyInit};
use ripemd::Ripemd160;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::format::cipher_spec::HashAlgorithm;

/// The parameters of a key derivation with PBKDF2, the only derivation of LUKS version 1.
#[derive(Clone, Copy)]
pub struct Derivation<'a> {
    /// The hash of the HMAC.
    pub hash: HashAlgorithm,
    /// The secret.
    pub password: &'a [u8],
    /// The salt.
    pub salt: &'a [u8],
    /// The number of iterations; at least 1.
    pub iterations: u32,
}

/// Omits the secret.
impl fmt::Debug for Derivation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derivation")
            .field("hash", &self.hash)
            .field("salt", &self.salt)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl Derivation<'_> {
    /// Derives the key into `key`, in one step.
    pub fn run(&self, key: &mut [u8]) {
        let mut running = Pbkdf2::new(self, key.len());
        while !running.advance(u32::MAX) {}
        running.finish(key);
    }
}

/// A derivation in progress. Its secrets are wiped when it is dropped.
pub struct Pbkdf2 {
    prf: Box<dyn Prf>,
    salt: Vec<u8>,
    iterations: u32,
    key: Zeroizing<Vec<u8>>,
    /// The number of complete bytes of the key.
    done: usize,
    /// The result of the last iteration of the current block, and the number of its iterations.
    last: Zeroizing<[u8; MAX_DIGEST]>,
    iteration: u32,
}

const MAX_DIGEST: usize = 64;

impl Pbkdf2 {
    /// Begins the derivation of a key of `length` bytes.
    pub fn new(derivation: &Derivation<'_>, length: usize) -> Self {
        Self {
            prf: prf(derivation.hash, derivation.password),
            salt: derivation.salt.to_vec(),
            iterations: derivation.iterations.max(1),
            key: Zeroizing::new(vec![0; length]),
            done: 0,
            last: Zeroizing::new([0; MAX_DIGEST]),
            iteration: 0,
        }
    }

    /// Runs up to `iterations` more iterations, and returns whether the key is complete.
    pub fn advance(&mut self, mut iterations: u32) -> bool {
        let digest = self.prf.length();
        while self.done < self.key.len() && iterations > 0 {
            let end = self.key.len().min(self.done + digest);
            if self.iteration == 0 {
                let number = u32::try_from(self.done / digest).unwrap_or(u32::MAX).wrapping_add(1);
                self.prf.apply(&[&self.salt, &number.to_be_bytes()], &mut self.last[..digest]);
                self.key[self.done..end].copy_from_slice(&self.last[..end - self.done]);
                self.iteration = 1;
                iterations -= 1;
            }
            let now = iterations.min(self.iterations - self.iteration);
            self.prf.iterate(now, &mut self.last[..digest], &mut self.key[self.done..end]);
            self.iteration += now;
            iterations -= now;
            if self.iteration == self.iterations {
                self.done = end;
                self.iteration = 0;
            }
        }
        self.done == self.key.len()
    }

    /// Copies the key to `key`, as far as it fits.
    pub fn finish(self, key: &mut [u8]) {
        for (byte, derived) in key.iter_mut().zip(&*self.key) {
            *byte = *derived;
        }
    }
}

impl fmt::Debug for Pbkdf2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pbkdf2").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// HMAC with its key.
trait Prf {
    fn length(&self) -> usize;
    /// Writes the code of the concatenated `parts` to `output`, of [`Prf::length`] bytes.
    fn apply(&self, parts: &[&[u8]], output: &mut [u8]);
    /// Replaces `last` by its own code, `count` times, and XORs each code into `sum`.
    fn iterate(&self, count: u32, last: &mut [u8], sum: &mut [u8]);
}

impl<D: EagerHash> Prf for Hmac<D>
where
    Self: Clone + Update + FixedOutput,
{
    fn length(&self) -> usize {
        <Self as hmac::digest::OutputSizeUser>::output_size()
    }

    fn apply(&self, parts: &[&[u8]], output: &mut [u8]) {
        let mut prf = self.clone();
        for part in parts {
            prf.update(part);
        }
        output.copy_from_slice(&prf.finalize_fixed());
    }

    fn iterate(&self, count: u32, last: &mut [u8], sum: &mut [u8]) {
        let mut code = hmac::digest::Output::<Self>::default();
        code.copy_from_slice(last);
        for _ in 0..count {
            let mut prf = self.clone();
            prf.update(&code);
            prf.finalize_into(&mut code);
            for (byte, next) in sum.iter_mut().zip(&code) {
                *byte ^= next;
            }
        }
        last.copy_from_slice(&code);
        code.as_mut_slice().zeroize();
    }
}

fn prf(hash: HashAlgorithm, key: &[u8]) -> Box<dyn Prf> {
    match hash {
        HashAlgorithm::Sha1 => keyed::<Hmac<Sha1>>(key),
        HashAlgorithm::Sha224 => keyed::<Hmac<Sha224>>(key),
        HashAlgorithm::Sha256 => keyed::<Hmac<Sha256>>(key),
        HashAlgorithm::Sha384 => keyed::<Hmac<Sha384>>(key),
        HashAlgorithm::Sha512 => keyed::<Hmac<Sha512>>(key),
        HashAlgorithm::Ripemd160 => keyed::<Hmac<Ripemd160>>(key),
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104)")]
fn keyed<M: Prf + KeyInit + 'static>(key: &[u8]) -> Box<dyn Prf> {
    Box::new(M::new_from_slice(key).expect("a key of any length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::tests::hex;

    #[track_caller]
    fn check(hash: HashAlgorithm, password: &str, salt: &str, iterations: u32, expected: &str) {
        let derivation = Derivation { hash, password: password.as_bytes(), salt: salt.as_bytes(), iterations };
        let expected = hex(expected);
        let mut key = vec![0; expected.len()];
        derivation.run(&mut key);
        assert_eq!(key, expected);
        for step in [1, 7, 1000] {
            let mut running = Pbkdf2::new(&derivation, expected.len());
            while !running.advance(step) {}
            key.fill(0);
            running.finish(&mut key);
            assert_eq!(key, expected, "in steps of {step}");
        }
    }

    /// RFC 6070.
    #[test]
    fn sha1() {
        check(HashAlgorithm::Sha1, "password", "salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6");
        check(HashAlgorithm::Sha1, "password", "salt", 4096, "4b007901b765489abead49d926f721d065a429c1");
        check(
            HashAlgorithm::Sha1,
            "passwordPASSWORDpassword",
            "saltSALTsaltSALTsaltSALTsaltSALTsalt",
            4096,
            "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038",
        );
    }

    /// RFC 7914, section 11.
    #[test]
    fn sha256() {
        check(
            HashAlgorithm::Sha256,
            "passwd",
            "salt",
            1,
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
             49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
        );
    }

    /// Computed with OpenSSL.
    #[test]
    fn the_other_hashes() {
        for (hash, expected) in [
            (HashAlgorithm::Sha224, "218c453bf90635bd0a21a75d172703ff6108ef60"),
            (HashAlgorithm::Sha384, "559726be38db125bc85ed7895f6e3cf574c7a01c"),
            (HashAlgorithm::Sha512, "d197b1b33db0143e018b12f3d1d1479e6cdebdcc"),
            (HashAlgorithm::Ripemd160, "99a40d3fe4ee95869791d9faa248645627827621"),
        ] {
            check(hash, "password", "salt", 4096, expected);
        }
    }
}
