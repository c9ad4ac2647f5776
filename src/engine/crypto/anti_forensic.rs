//! The anti-forensic splitter of LUKS: spreads a key over many bytes. Restoring it needs all of them.

use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::hash;
use crate::format::cipher_spec::HashAlgorithm;
use crate::format::luks::STRIPES;

/// Splits `key` into key material. `fill` fills a buffer with random bytes.
pub(super) fn split<E>(
    hash: HashAlgorithm,
    key: &[u8],
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Zeroizing<Vec<u8>>, E> {
    let mut material = Zeroizing::new(vec![0; key.len() * STRIPES as usize]);
    let (random, last) = material.split_at_mut(key.len() * (STRIPES as usize - 1));
    fill(random)?;
    let mixed = mix(hash, random, key.len());
    last.copy_from_slice(key);
    xor(last, &mixed);
    Ok(material)
}

/// Restores the key from `material`.
pub(super) fn merge(hash: HashAlgorithm, material: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = material.len() / STRIPES as usize;
    let (random, last) = material.split_at(length * (STRIPES as usize - 1));
    let mut key = mix(hash, random, length);
    xor(&mut key, last);
    key
}

fn mix(hash: HashAlgorithm, stripes: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut mixed = Zeroizing::new(vec![0; length]);
    for stripe in stripes.chunks_exact(length.max(1)) {
        xor(&mut mixed, stripe);
        diffuse(hash, &mut mixed);
    }
    mixed
}

/// Replaces each segment of the length of a digest by the digest of its number and its contents.
fn diffuse(hash: HashAlgorithm, block: &mut [u8]) {
    for (segment, number) in block.chunks_mut(hash.length()).zip(0u32..) {
        let digest = hash::digest(hash, &[&number.to_be_bytes(), segment]);
        segment.copy_from_slice(&digest[..segment.len()]);
    }
}

fn xor(bytes: &mut [u8], others: &[u8]) {
    for (byte, other) in bytes.iter_mut().zip(others) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use super::*;

    #[test]
    fn merge_restores_the_split_key() {
        for hash in HashAlgorithm::ALL {
            for length in [16, 24, 32, 48, 64] {
                let key: Vec<u8> = (1..=length).collect();
                let noise = |bytes: &mut [u8]| {
                    for (byte, number) in bytes.iter_mut().zip(0u32..) {
                        *byte = (number.wrapping_mul(2_654_435_761) >> 24) as u8;
                    }
                    Ok::<_, Infallible>(())
                };
                let Ok(mut material) = split(hash, &key, noise);
                assert_eq!(*merge(hash, &material), key, "{hash:?} {length}");
                material[usize::from(length) * 5] ^= 1;
                let changed = merge(hash, &material);
                // Only within the first digest: each segment of the key is diffused separately.
                let reach = hash.length().min(key.len());
                let same = changed[..reach].iter().zip(&key).filter(|(byte, other)| byte == other).count();
                assert!(same < 8, "one changed bit changes all bytes");
            }
        }
    }
}
