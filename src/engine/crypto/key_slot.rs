//! Encrypts the key of an image in a key slot, and decrypts it.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::anti_forensic;
use super::pbkdf2::Derivation;
use super::sector::{SECTOR, SectorCipher};
use crate::format::cipher_spec::{CipherSpec, HashAlgorithm};
use crate::format::luks::{DIGEST_BYTES, LuksHeader};

/// Decrypts the key in `material` with the key that was derived for the slot.
///
/// `material` is the whole split key: 4000 times its length. The result is a wrong key if `slot_key` is wrong. Returns
/// `None` if the cipher has no keys of that length.
pub fn open(
    spec: CipherSpec,
    hash: HashAlgorithm,
    slot_key: &[u8],
    mut material: Zeroizing<Vec<u8>>,
) -> Option<Zeroizing<Vec<u8>>> {
    let length = material.len();
    // The last sector may be incomplete. Its blocks don't depend on the bytes after them.
    material.resize(length.next_multiple_of(SECTOR), 0);
    SectorCipher::new(spec, slot_key)?.decrypt(0, &mut material);
    Some(anti_forensic::merge(hash, material.get(..length)?))
}

/// Returns the material of a slot that holds `key`. `fill` fills a buffer with random bytes.
pub(crate) fn seal<E>(
    spec: CipherSpec,
    hash: HashAlgorithm,
    slot_key: &[u8],
    key: &[u8],
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Option<Zeroizing<Vec<u8>>>, E> {
    let Some(cipher) = SectorCipher::new(spec, slot_key) else {
        return Ok(None);
    };
    let mut material = anti_forensic::split(hash, key, fill)?;
    let length = material.len();
    material.resize(length.next_multiple_of(SECTOR), 0);
    cipher.encrypt(0, &mut material);
    material.truncate(length);
    Ok(Some(material))
}

/// Returns the derivation of the header's digest of `key`.
pub(crate) fn digest_of<'a>(header: &'a LuksHeader, hash: HashAlgorithm, key: &'a [u8]) -> Derivation<'a> {
    Derivation { hash, password: key, salt: &header.digest_salt, iterations: header.digest_iterations }
}

/// Returns whether two digests are equal, in constant time.
pub(crate) fn is_same(digest: &[u8; DIGEST_BYTES], other: &[u8; DIGEST_BYTES]) -> bool {
    digest.iter().zip(other).fold(0, |difference, (byte, other)| difference | (byte ^ other)) == 0
}
