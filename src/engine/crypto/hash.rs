//! The hashes of LUKS.

use alloc::vec::Vec;

use hmac::digest::Digest;
use ripemd::Ripemd160;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::format::cipher_spec::HashAlgorithm;

/// Returns the digest of the concatenated `segments`.
pub fn digest(algorithm: HashAlgorithm, segments: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    match algorithm {
        HashAlgorithm::Sha1 => digest_by::<Sha1>(segments),
        HashAlgorithm::Sha224 => digest_by::<Sha224>(segments),
        HashAlgorithm::Sha256 => digest_by::<Sha256>(segments),
        HashAlgorithm::Sha384 => digest_by::<Sha384>(segments),
        HashAlgorithm::Sha512 => digest_by::<Sha512>(segments),
        HashAlgorithm::Ripemd160 => digest_by::<Ripemd160>(segments),
    }
}

fn digest_by<D: Digest>(segments: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut hasher = D::new();
    for segment in segments {
        hasher.update(segment);
    }
    Zeroizing::new(hasher.finalize().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::tests::hex;

    /// The digests of "abc": FIPS 180, and the paper on RIPEMD-160.
    #[test]
    fn known_digests() {
        for (algorithm, expected) in [
            (HashAlgorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (HashAlgorithm::Sha224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            (HashAlgorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (HashAlgorithm::Ripemd160, "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
        ] {
            assert_eq!(*digest(algorithm, &[b"a", b"", b"bc"]), hex(expected), "{algorithm:?}");
        }
        for (algorithm, begins) in
            [(HashAlgorithm::Sha384, "cb00753f45a35e8b"), (HashAlgorithm::Sha512, "ddaf35a193617aba")]
        {
            assert!(digest(algorithm, &[b"abc"]).starts_with(&hex(begins)), "{algorithm:?}");
        }
        for algorithm in HashAlgorithm::ALL {
            assert_eq!(digest(algorithm, &[]).len(), algorithm.length());
        }
    }
}
