//! The LUKS header of an image file.

use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::key_derivation::{KeyDerivation, derive};
use super::key_material::KeyOptions;
use super::read_luks_header;
use super::unlock::DEFAULT_MAX_ITERATIONS;
use crate::crypto::key_slot;
use crate::crypto::passphrase::Passphrase;
use crate::crypto::pbkdf2::Derivation;
use crate::crypto::sector::SectorCipher;
use crate::error::{Corrupt, Error, LuksFault, Misuse, Problem, Unsupported};
use crate::format::cipher_spec::{CipherSpec, HashAlgorithm};
use crate::format::header::extension::CryptoHeader;
use crate::format::luks::{DIGEST_BYTES, KeySlot, LuksHeader};
use crate::format::units::HostOffset;
use crate::meta::host_file::HostFile;
use crate::storage::Storage;

/// A LUKS header and its host offset.
pub(in crate::image) struct Luks {
    pub(in crate::image) start: HostOffset,
    pub(in crate::image) header: LuksHeader,
}

/// An opened key slot.
pub(in crate::image) struct Opened {
    pub(in crate::image) slot: usize,
    pub(in crate::image) key: Zeroizing<Vec<u8>>,
    pub(in crate::image) cipher: SectorCipher,
}

impl Luks {
    pub(in crate::image) async fn read<S: Storage>(
        file: &HostFile<S>,
        crypto_header: CryptoHeader,
    ) -> Result<Self, Error<S::Error>> {
        Ok(Self { start: HostOffset(crypto_header.offset), header: read_luks_header(file, crypto_header).await? })
    }

    /// Fails if no passphrase can open the image.
    pub(in crate::image) fn check_openable(&self) -> Result<(), Problem> {
        let (spec, _) = self.header.algorithms()?;
        self.cipher(spec, &vec![0; self.key_length()])?;
        if self.header.slots.iter().any(|slot| slot.active) {
            Ok(())
        } else {
            Err(Corrupt::Luks { offset: self.start.0, fault: LuksFault::NoActiveSlot }.into())
        }
    }

    /// Returns the inactive slot that a new passphrase gets: `wanted`, or the first one.
    pub(super) fn slot_to_fill(&self, wanted: Option<usize>) -> Result<usize, Misuse> {
        let slots = &self.header.slots;
        let Some(wanted) = wanted else {
            return slots.iter().position(|slot| !slot.active).ok_or(Misuse::KeySlotsFull);
        };
        match slots.get(wanted) {
            None => Err(Misuse::NoSuchKeySlot { slot: wanted }),
            Some(slot) if slot.active => Err(Misuse::KeySlotInUse { slot: wanted }),
            Some(_) => Ok(wanted),
        }
    }

    /// Returns the first slot that `passphrase` opens. Slots with more than `max_iterations` are not tried.
    pub(in crate::image) async fn open<S: Storage>(
        &self,
        file: &HostFile<S>,
        passphrase: &Passphrase,
        derivation: &dyn KeyDerivation,
        max_iterations: u32,
    ) -> Result<Opened, Error<S::Error>> {
        let (spec, hash) = self.header.algorithms()?;
        check_iterations(self.header.digest_iterations, max_iterations)?;
        let mut refused = None;
        for (index, slot) in self.header.slots.iter().enumerate().filter(|(_, slot)| slot.active) {
            if let Err(error) = check_iterations(slot.iterations, max_iterations) {
                refused = Some(error);
                continue;
            }
            let key = self.key_in(file, slot, passphrase, derivation).await?;
            if self.is_key(hash, &key, derivation).await? {
                let cipher = self.cipher(spec, &key)?;
                return Ok(Opened { slot: index, key, cipher });
            }
        }
        Err(refused.map_or_else(|| Misuse::WrongPassphrase.into(), Error::from))
    }

    /// Returns the active slots that `passphrase` opens, of all or of `only`.
    pub(super) async fn slots_of<S: Storage>(
        &self,
        file: &HostFile<S>,
        passphrase: &Passphrase,
        only: Option<usize>,
        derivation: &dyn KeyDerivation,
    ) -> Result<Vec<usize>, Error<S::Error>> {
        let (_, hash) = self.header.algorithms()?;
        check_iterations(self.header.digest_iterations, DEFAULT_MAX_ITERATIONS)?;
        let mut opened = Vec::new();
        for (index, slot) in self.header.slots.iter().enumerate() {
            if !slot.active || only.is_some_and(|only| only != index) {
                continue;
            }
            check_iterations(slot.iterations, DEFAULT_MAX_ITERATIONS)?;
            let key = self.key_in(file, slot, passphrase, derivation).await?;
            if self.is_key(hash, &key, derivation).await? {
                opened.push(index);
            }
        }
        Ok(opened)
    }

    /// Returns the contents of `slot` decrypted with `passphrase`: the key, if the passphrase is correct.
    async fn key_in<S: Storage>(
        &self,
        file: &HostFile<S>,
        slot: &KeySlot,
        passphrase: &Passphrase,
        derivation: &dyn KeyDerivation,
    ) -> Result<Zeroizing<Vec<u8>>, Error<S::Error>> {
        let (spec, hash) = self.header.algorithms()?;
        let range = self.header.material(slot);
        // At most 64 bytes by 4000: the header was checked.
        let mut material = Zeroizing::new(vec![0; usize::try_from(range.end - range.start).unwrap_or(0)]);
        file.read(self.start.plus(range.start), &mut material).await.map_err(Error::Storage)?;
        let mut slot_key = Zeroizing::new(vec![0; self.key_length()]);
        let (password, salt, iterations) = (passphrase.bytes(), &slot.salt, slot.iterations);
        derive(derivation, Derivation { hash, password, salt, iterations }, &mut slot_key).await?;
        Ok(key_slot::open(spec, hash, &slot_key, material).ok_or_else(|| self.header.unknown_cipher())?)
    }

    async fn is_key(&self, hash: HashAlgorithm, key: &[u8], derivation: &dyn KeyDerivation) -> Result<bool, Misuse> {
        let mut digest = Zeroizing::new([0; DIGEST_BYTES]);
        derive(derivation, key_slot::digest_of(&self.header, hash, key), &mut *digest).await?;
        Ok(key_slot::is_same(&digest, &self.header.digest))
    }

    fn cipher(&self, spec: CipherSpec, key: &[u8]) -> Result<SectorCipher, Unsupported> {
        SectorCipher::new(spec, key).ok_or_else(|| self.header.unknown_cipher())
    }

    fn key_length(&self) -> usize {
        // At most 64.
        usize::try_from(self.header.key_bytes).unwrap_or(0)
    }
}

/// Returns `slot` for `passphrase`, with the key material that holds `key`. Returns `None` if the cipher does not
/// support keys of this length.
pub(in crate::image) async fn fill_slot(
    mut slot: KeySlot,
    (spec, hash): (CipherSpec, HashAlgorithm),
    key: &[u8],
    passphrase: &Passphrase,
    options: &KeyOptions,
) -> Result<Option<(KeySlot, Zeroizing<Vec<u8>>)>, Misuse> {
    (slot.active, slot.iterations) = (true, options.iterations);
    options.entropy.fill(&mut slot.salt)?;
    let mut slot_key = Zeroizing::new(vec![0; key.len()]);
    let (password, salt, iterations) = (passphrase.bytes(), &slot.salt, slot.iterations);
    derive(&*options.derivation, Derivation { hash, password, salt, iterations }, &mut slot_key).await?;
    let material = key_slot::seal(spec, hash, &slot_key, key, |bytes| options.entropy.fill(bytes))?;
    Ok(material.map(|material| (slot, material)))
}

fn check_iterations(iterations: u32, limit: u32) -> Result<(), Unsupported> {
    if iterations > limit { Err(Unsupported::LuksIterations { iterations, limit }) } else { Ok(()) }
}
