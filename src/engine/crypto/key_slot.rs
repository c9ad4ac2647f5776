//! The key of an image, under the key of a slot.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::anti_forensic;
use super::pbkdf2::Derivation;
use super::sector::{SECTOR, SectorCipher};
use crate::format::cipher_spec::{CipherSpec, HashAlgorithm};
use crate::format::luks::{DIGEST_BYTES, LuksHeader};

/// The key that lies in `material`, under the key that was derived for the slot: another one where that is not the
/// right one. `None` where the cipher takes no keys of that length.
pub(crate) fn open(
    spec: CipherSpec,
    hash: HashAlgorithm,
    slot_key: &[u8],
    mut material: Zeroizing<Vec<u8>>,
) -> Option<Zeroizing<Vec<u8>>> {
    let length = material.len();
    // The last sector may be a part of one: its blocks don't depend on what follows them.
    material.resize(length.next_multiple_of(SECTOR), 0);
    SectorCipher::new(spec, slot_key)?.decrypt(0, &mut material);
    Some(anti_forensic::merge(hash, material.get(..length)?))
}

/// The material of a slot that holds `key`; `fill` makes bytes random.
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

/// How the header's digest of `key` is derived.
pub(crate) fn digest_of<'a>(header: &'a LuksHeader, hash: HashAlgorithm, key: &'a [u8]) -> Derivation<'a> {
    Derivation { hash, password: key, salt: &header.digest_salt, iterations: header.digest_iterations }
}

/// Whether two digests are the same, in the same time wherever they differ.
pub(crate) fn is_same(digest: &[u8; DIGEST_BYTES], other: &[u8; DIGEST_BYTES]) -> bool {
    digest.iter().zip(other).fold(0, |difference, (byte, other)| difference | (byte ^ other)) == 0
}
