//! The header of LUKS version 1, which a qcow2 image keeps in separate clusters.
//!
//! References: LUKS On-Disk Format, version 1.2.3; QEMU, `docs/interop/qcow2.rst`.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::bytes::Record;
#[cfg(feature = "luks")]
use super::cipher_spec::{CipherSpec, HashAlgorithm};
use super::units::HostOffset;
use crate::error::{Corrupt, LuksFault, Problem, Unsupported};

const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";
const VERSION: u16 = 1;
/// The length of the header's fields.
pub(crate) const HEADER_BYTES: usize = 592;
/// Key material and payload begin at or after this offset. QEMU and cryptsetup both require that.
const HEADER_AREA: u64 = 4096;
pub(crate) const SLOTS: usize = 8;
/// The number of stripes of a split key. All programs use this number, and QEMU accepts no other.
pub(crate) const STRIPES: u32 = 4000;
pub(crate) const DIGEST_BYTES: usize = 20;
pub(crate) const SALT_BYTES: usize = 32;
const ENABLED: u32 = 0x00ac_71f3;
const DISABLED: u32 = 0x0000_dead;
const SECTOR: u64 = 512;
/// Two keys of 256 bits.
const MAX_KEY_BYTES: u32 = 64;
/// The largest LUKS header, because it is kept in memory. It is many times what eight slots of the longest keys take.
pub(crate) const MAX_AREA: u64 = 64 << 20;

mod field {
    pub(super) const VERSION: u64 = 6;
    pub(super) const CIPHER: u64 = 8;
    pub(super) const MODE: u64 = 40;
    pub(super) const HASH: u64 = 72;
    pub(super) const PAYLOAD: u64 = 104;
    pub(super) const KEY_BYTES: u64 = 108;
    pub(super) const DIGEST: u64 = 112;
    pub(super) const DIGEST_SALT: u64 = 132;
    pub(super) const DIGEST_ITERATIONS: u64 = 164;
    pub(super) const UUID: u64 = 168;
    pub(super) const SLOTS: u64 = 208;
    pub(super) const SLOT_BYTES: u64 = 48;
    pub(super) const TEXT_BYTES: u64 = 32;
    pub(super) const UUID_BYTES: u64 = 40;
}

/// The public information in a LUKS header. Nothing here is secret. The names are those in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LuksInfo {
    /// The cipher, such as `aes`.
    pub cipher: String,
    /// The mode and the generator of initialisation vectors, such as `xts-plain64`.
    pub mode: String,
    /// The hash, such as `sha256`.
    pub hash: String,
    /// The length of the key in bits; for XTS, of both keys.
    pub key_bits: u32,
    /// The UUID of the header.
    pub uuid: String,
    /// The number of iterations of the digest of the key.
    pub digest_iterations: u32,
    /// All 8 key slots.
    pub slots: Vec<KeySlotInfo>,
}

/// The public information of a key slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySlotInfo {
    /// The slot is in use: a passphrase opens it.
    pub active: bool,
    /// The number of iterations that derive the key from the passphrase.
    pub iterations: u32,
    /// The offset of the key material, in bytes from the beginning of the LUKS header.
    pub offset: u64,
    /// The number of stripes of the split key.
    pub stripes: u32,
}

/// The fields of the header. Their lengths and offsets have been checked.
#[cfg_attr(not(feature = "luks"), expect(dead_code, reason = "without ciphers the header is never opened"))]
pub(crate) struct LuksHeader {
    pub(crate) cipher: String,
    pub(crate) mode: String,
    pub(crate) hash: String,
    /// The payload offset in sectors. It has no meaning in a qcow2 image.
    pub(crate) payload: u32,
    pub(crate) key_bytes: u32,
    pub(crate) digest: [u8; DIGEST_BYTES],
    pub(crate) digest_salt: [u8; SALT_BYTES],
    pub(crate) digest_iterations: u32,
    pub(crate) uuid: String,
    pub(crate) slots: [KeySlot; SLOTS],
}

/// The fields of a key slot.
#[derive(Clone, Copy, Default)]
#[cfg_attr(feature = "luks", derive(PartialEq, Eq))]
#[cfg_attr(not(feature = "luks"), expect(dead_code, reason = "without ciphers the header is never opened"))]
pub(crate) struct KeySlot {
    pub(crate) active: bool,
    pub(crate) iterations: u32,
    pub(crate) salt: [u8; SALT_BYTES],
    /// The offset of the key material, in sectors from the beginning of the header.
    pub(crate) material: u32,
    pub(crate) stripes: u32,
}

impl LuksHeader {
    /// Parses the header in `bytes`, which are at host offset `start`.
    ///
    /// `length` is the length in bytes of the header with its key material. The checks are in QEMU's order, so that both
    /// report the same error.
    pub(crate) fn parse(bytes: &[u8], start: HostOffset, length: u64) -> Result<Self, Problem> {
        let at = |offset: u64, fault: LuksFault| Corrupt::Luks { offset: start.plus(offset).0, fault };
        let record = Record(bytes);
        let truncated = at(0, LuksFault::Truncated { length: bytes.len() as u64 });
        if length > MAX_AREA {
            return Err(at(0, LuksFault::Area { length }).into());
        }
        if !bytes.starts_with(&MAGIC) {
            return Err(at(0, LuksFault::Magic).into());
        }
        let version = record.u16(field::VERSION).ok_or(truncated)?;
        if version != VERSION {
            return Err(Unsupported::LuksVersion(version).into());
        }
        let header = Self::parse_fields(record).ok_or(truncated)?;
        for offset in [field::CIPHER, field::MODE, field::HASH] {
            if record.u8(offset + field::TEXT_BYTES - 1) != Some(0) {
                return Err(at(offset, LuksFault::Text).into());
            }
        }
        if u64::from(header.payload) * SECTOR < HEADER_AREA {
            return Err(at(field::PAYLOAD, LuksFault::Payload { sectors: header.payload }).into());
        }
        if !(1..=MAX_KEY_BYTES).contains(&header.key_bytes) {
            return Err(at(field::KEY_BYTES, LuksFault::KeyBytes { length: header.key_bytes }).into());
        }
        if header.digest_iterations == 0 {
            return Err(at(field::DIGEST_ITERATIONS, LuksFault::NoIterations).into());
        }
        for (index, slot) in header.slots.iter().enumerate() {
            let offset = field::SLOTS + index as u64 * field::SLOT_BYTES;
            let state = record.u32(offset).ok_or(truncated)?;
            if state != ENABLED && state != DISABLED {
                return Err(at(offset, LuksFault::SlotState { state }).into());
            }
            header.check_slot(index, slot, length).map_err(|fault| at(offset, fault))?;
        }
        Ok(header)
    }

    fn check_slot(&self, index: usize, slot: &KeySlot, length: u64) -> Result<(), LuksFault> {
        if slot.stripes != STRIPES {
            return Err(LuksFault::Stripes { stripes: slot.stripes });
        }
        if slot.active && slot.iterations == 0 {
            return Err(LuksFault::NoIterations);
        }
        let own = self.material(slot);
        let end = length.min(u64::from(self.payload) * SECTOR);
        if own.start < HEADER_AREA || own.end > end {
            return Err(LuksFault::Material { offset: own.start, length: own.end - own.start });
        }
        for other in self.slots.get(index + 1..).unwrap_or_default() {
            let other = self.material(other);
            if own.start < other.end && other.start < own.end {
                return Err(LuksFault::Overlap { offset: own.start, other: other.start });
            }
        }
        Ok(())
    }

    /// Returns the range of the key material of `slot`, in bytes from the beginning of the header.
    pub(crate) fn material(&self, slot: &KeySlot) -> Range<u64> {
        let start = u64::from(slot.material) * SECTOR;
        start..start + u64::from(self.key_bytes) * u64::from(slot.stripes)
    }

    /// Returns the length in bytes with the key material of all slots, rounded up to 4 KiB, as programs lay it out.
    pub(crate) fn length(&self) -> u64 {
        let ends = self.slots.iter().map(|slot| self.material(slot).end);
        ends.fold(0, u64::max).next_multiple_of(HEADER_AREA)
    }

    pub(crate) fn info(&self) -> LuksInfo {
        let slot = |slot: &KeySlot| KeySlotInfo {
            active: slot.active,
            iterations: slot.iterations,
            offset: self.material(slot).start,
            stripes: slot.stripes,
        };
        LuksInfo {
            cipher: self.cipher.clone(),
            mode: self.mode.clone(),
            hash: self.hash.clone(),
            key_bits: self.key_bytes * 8,
            uuid: self.uuid.clone(),
            digest_iterations: self.digest_iterations,
            slots: self.slots.iter().map(slot).collect(),
        }
    }

    fn parse_fields(record: Record<'_>) -> Option<Self> {
        let mut slots = [KeySlot::default(); SLOTS];
        for (slot, index) in slots.iter_mut().zip(0..) {
            let at = field::SLOTS + index * field::SLOT_BYTES;
            let state = record.u32(at)?;
            *slot = KeySlot {
                active: state == ENABLED,
                iterations: record.u32(at + 4)?,
                salt: record.slice(at + 8, SALT_BYTES as u64)?.try_into().ok()?,
                material: record.u32(at + 40)?,
                stripes: record.u32(at + 44)?,
            };
        }
        Some(Self {
            cipher: text(record.slice(field::CIPHER, field::TEXT_BYTES)?),
            mode: text(record.slice(field::MODE, field::TEXT_BYTES)?),
            hash: text(record.slice(field::HASH, field::TEXT_BYTES)?),
            payload: record.u32(field::PAYLOAD)?,
            key_bytes: record.u32(field::KEY_BYTES)?,
            digest: record.slice(field::DIGEST, DIGEST_BYTES as u64)?.try_into().ok()?,
            digest_salt: record.slice(field::DIGEST_SALT, SALT_BYTES as u64)?.try_into().ok()?,
            digest_iterations: record.u32(field::DIGEST_ITERATIONS)?,
            uuid: text(record.slice(field::UUID, field::UUID_BYTES)?),
            slots,
        })
    }
}

/// The algorithms that open the key slots.
#[cfg(feature = "luks")]
impl LuksHeader {
    /// Returns the cipher and the hash. Fails if one of them is unknown.
    pub(crate) fn algorithms(&self) -> Result<(CipherSpec, HashAlgorithm), Unsupported> {
        let spec = CipherSpec::from_names(&self.cipher, &self.mode).ok_or_else(|| self.unknown_cipher())?;
        let unknown = || Unsupported::LuksHash { name: self.hash.clone() };
        Ok((spec, HashAlgorithm::from_name(&self.hash).ok_or_else(unknown)?))
    }

    pub(crate) fn unknown_cipher(&self) -> Unsupported {
        Unsupported::LuksCipher { cipher: self.cipher.clone(), mode: self.mode.clone(), key_bits: self.key_bytes * 8 }
    }
}

/// Creation of a header.
#[cfg(feature = "luks")]
impl LuksHeader {
    /// Creates a header without a key. The key material of its slots is consecutive.
    pub(crate) fn new(spec: CipherSpec, hash: HashAlgorithm, key_bytes: u32) -> Self {
        let (area, stride) = (HEADER_AREA, slot_stride(key_bytes));
        let mut slots = [KeySlot::default(); SLOTS];
        for (slot, index) in slots.iter_mut().zip(0..) {
            // A few MiB at most.
            slot.material = u32::try_from((area + index * stride) / SECTOR).unwrap_or(u32::MAX);
            slot.stripes = STRIPES;
        }
        Self {
            cipher: spec.algorithm.name().into(),
            mode: alloc::format!("{spec}"),
            hash: hash.name().into(),
            payload: u32::try_from(Self::area(key_bytes) / SECTOR).unwrap_or(u32::MAX),
            key_bytes,
            digest: [0; DIGEST_BYTES],
            digest_salt: [0; SALT_BYTES],
            digest_iterations: 0,
            uuid: String::new(),
            slots,
        }
    }

    /// Returns the length of a new header with its key material, in bytes.
    pub(crate) fn area(key_bytes: u32) -> u64 {
        HEADER_AREA + SLOTS as u64 * slot_stride(key_bytes)
    }

    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        let mut put = |field: &[u8], length: usize| {
            let end = bytes.len() + length;
            bytes.extend_from_slice(field);
            bytes.resize(end, 0);
        };
        put(&MAGIC, MAGIC.len());
        put(&VERSION.to_be_bytes(), 2);
        for name in [&self.cipher, &self.mode, &self.hash] {
            put(name.as_bytes(), 32);
        }
        put(&self.payload.to_be_bytes(), 4);
        put(&self.key_bytes.to_be_bytes(), 4);
        put(&self.digest, DIGEST_BYTES);
        put(&self.digest_salt, SALT_BYTES);
        put(&self.digest_iterations.to_be_bytes(), 4);
        put(self.uuid.as_bytes(), 40);
        for slot in &self.slots {
            put(&slot.emit(), 48);
        }
        bytes
    }

    /// Returns the offset of slot `index`, in bytes from the beginning of the header. Its first 4 bytes are the state.
    pub(crate) fn slot_offset(index: usize) -> u64 {
        field::SLOTS + index as u64 * field::SLOT_BYTES
    }
}

#[cfg(feature = "luks")]
impl KeySlot {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut bytes = Vec::from(Self::state(self.active));
        bytes.extend_from_slice(&self.iterations.to_be_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.material.to_be_bytes());
        bytes.extend_from_slice(&self.stripes.to_be_bytes());
        bytes
    }

    pub(crate) fn state(active: bool) -> [u8; 4] {
        if active { ENABLED.to_be_bytes() } else { DISABLED.to_be_bytes() }
    }
}

/// Returns the distance between the key materials of two slots. Each begins at a multiple of 4 KiB.
#[cfg(feature = "luks")]
fn slot_stride(key_bytes: u32) -> u64 {
    (u64::from(key_bytes) * u64::from(STRIPES)).next_multiple_of(HEADER_AREA)
}

/// Returns the text up to the first zero byte.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}
