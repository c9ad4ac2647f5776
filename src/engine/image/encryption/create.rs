//! Creating an encrypted image.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::key_derivation::derive;
use super::key_material::{Entropy, KeyOptions, NoEntropy};
use super::luks::fill_slot;
use crate::crypto::key_slot;
use crate::crypto::passphrase::Passphrase;
use crate::crypto::sector::SectorCipher;
use crate::crypto::stack::wiping;
use crate::error::{CreateFault, Misuse};
use crate::format::cipher_spec::{CipherMode, CipherSpec, HashAlgorithm};
use crate::format::luks::LuksHeader;
use crate::image::open::OpenOptions;
use crate::storage::StorageMut;

/// QEMU's ratio between the iterations of a key slot and those of the key digest, which protects nothing.
const DIGEST_RATIO: u32 = 8;
const MIN_DIGEST_ITERATIONS: u32 = 1000;

/// The encryption of a new image.
#[derive(Clone)]
pub struct EncryptOptions {
    passphrase: Passphrase,
    luks: Option<LuksOptions>,
}

#[derive(Clone)]
struct LuksOptions {
    spec: CipherSpec,
    key_bits: u32,
    hash: HashAlgorithm,
    keys: KeyOptions,
}

impl EncryptOptions {
    /// Encrypts with LUKS and QEMU's defaults: `aes-256`, `xts-plain64`, `sha256`.
    ///
    /// The passphrase opens the first key slot.
    pub fn luks(passphrase: impl Into<Passphrase>, keys: KeyOptions) -> Self {
        let luks = LuksOptions { spec: CipherSpec::default(), key_bits: 256, hash: HashAlgorithm::default(), keys };
        Self { passphrase: passphrase.into(), luks: Some(luks) }
    }

    /// Encrypts with QEMU's legacy AES method, for programs that support no other: **it is not safe**.
    ///
    /// The first 16 bytes of the passphrase are the key of AES-128. The passphrase cannot be changed, and a wrong one
    /// is not detected. Anyone with write access to the file can change the data without being noticed. QEMU's own
    /// system emulators refuse such images.
    pub fn legacy_aes(passphrase: impl Into<Passphrase>) -> Self {
        Self { passphrase: passphrase.into(), luks: None }
    }

    /// Sets the cipher and the length of its key in bits: 128, 192 or 256.
    ///
    /// For XTS the key in the image is twice as long. This has no effect on the legacy method.
    #[must_use]
    pub fn cipher(mut self, spec: CipherSpec, key_bits: u32) -> Self {
        if let Some(luks) = &mut self.luks {
            (luks.spec, luks.key_bits) = (spec, key_bits);
        }
        self
    }

    /// Sets the hash for key derivation; default `sha256`. This has no effect on the legacy method.
    #[must_use]
    pub fn hash(mut self, hash: HashAlgorithm) -> Self {
        if let Some(luks) = &mut self.luks {
            luks.hash = hash;
        }
        self
    }
}

/// The passphrase is left out.
impl fmt::Debug for EncryptOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.luks {
            None => f.write_str("EncryptOptions(aes)"),
            Some(luks) => write!(f, "EncryptOptions({}-{} {})", luks.spec.algorithm.name(), luks.key_bits, luks.spec),
        }
    }
}

/// The encrypted key as it is written to the file: nothing, or a LUKS header with the key material of its first slot.
pub(in crate::image) struct Sealed(Option<NewLuks>);

struct NewLuks {
    header: Vec<u8>,
    material: Zeroizing<Vec<u8>>,
    /// The offset of the key material within the LUKS header.
    material_offset: u64,
}

impl EncryptOptions {
    /// The value of the header's `crypt_method` field.
    pub(in crate::image) fn method(&self) -> u32 {
        if self.luks.is_some() { 2 } else { 1 }
    }

    /// The number of bytes that the keys take in the file.
    pub(in crate::image) fn area(&self) -> Result<u64, CreateFault> {
        self.luks.as_ref().map_or(Ok(0), LuksOptions::area)
    }

    pub(in crate::image) async fn seal(&self) -> Result<Sealed, Misuse> {
        Ok(Sealed(match &self.luks {
            Some(luks) => Some(wiping(luks.seal(&self.passphrase)).await?),
            None => None,
        }))
    }

    /// Adds the passphrase to the options for opening the new image.
    pub(in crate::image) fn unlock<S, R>(&self, options: OpenOptions<S, R>) -> OpenOptions<S, R> {
        let options = options.passphrase(self.passphrase.clone()).max_iterations(u32::MAX);
        match &self.luks {
            Some(luks) => options.key_derivation(luks.keys.derivation.clone()),
            None => options,
        }
    }
}

impl Sealed {
    pub(in crate::image) async fn write<S: StorageMut>(&self, storage: &S, start: u64) -> Result<(), S::Error> {
        let Some(luks) = &self.0 else {
            return Ok(());
        };
        storage.write_at(start, &luks.header).await?;
        storage.write_at(start + luks.material_offset, &luks.material).await
    }
}

impl LuksOptions {
    fn key_bytes(&self) -> u32 {
        let keys = if self.spec.mode == CipherMode::Xts { 2 } else { 1 };
        self.key_bits.saturating_mul(keys) / 8
    }

    /// The number of bytes of the header with its key material. Fails if the cipher does not support keys of this
    /// length.
    fn area(&self) -> Result<u64, CreateFault> {
        let key = vec![0; usize::try_from(self.key_bytes()).unwrap_or(0).min(128)];
        // 4000 stripes of a 192-bit key are not a whole number of sectors, and QEMU cannot open such an image.
        let whole = (key.len() * 4000).is_multiple_of(512);
        match SectorCipher::new(self.spec, &key) {
            Some(_) if whole => Ok(LuksHeader::area(self.key_bytes())),
            _ => Err(CreateFault::CipherKey { key_bits: self.key_bits }),
        }
    }

    /// Creates a key, in a header whose first slot `passphrase` opens.
    async fn seal(&self, passphrase: &Passphrase) -> Result<NewLuks, Misuse> {
        self.area()?;
        let entropy = &*self.keys.entropy;
        let mut header = LuksHeader::new(self.spec, self.hash, self.key_bytes());
        let mut key = Zeroizing::new(vec![0; usize::try_from(self.key_bytes()).unwrap_or(0)]);
        entropy.fill(&mut key)?;
        entropy.fill(&mut header.digest_salt)?;
        header.uuid = uuid(entropy)?;
        header.digest_iterations = (self.keys.iterations / DIGEST_RATIO).max(MIN_DIGEST_ITERATIONS);
        let mut digest = header.digest;
        derive(&*self.keys.derivation, key_slot::digest_of(&header, self.hash, &key), &mut digest).await?;
        header.digest = digest;
        let algorithms = (self.spec, self.hash);
        let (slot, material) = fill_slot(header.slots[0], algorithms, &key, passphrase, &self.keys)
            .await?
            .ok_or(CreateFault::CipherKey { key_bits: self.key_bits })?;
        header.slots[0] = slot;
        Ok(NewLuks { header: header.emit(), material, material_offset: header.material(&slot).start })
    }
}

/// Returns a random UUID (RFC 9562, version 4).
fn uuid(entropy: &dyn Entropy) -> Result<String, NoEntropy> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = alloc::format!("{:032x}", u128::from_be_bytes(bytes));
    Ok([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}
