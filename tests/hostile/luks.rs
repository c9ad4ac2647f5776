//! LUKS headers, field by field: each at its limits and beyond, against QEMU; and who is kept waiting.

use std::sync::LazyLock;

use qcow2_web::{Corrupt, Error, Image, LuksFault, Misuse, Problem, Unsupported, inspect};

use crate::common::MIB;
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::memory::peak_of;
use crate::common::reading::{DiskError, alone, now, whole};
use crate::common::secret::{PASSPHRASE, options, secret};
use crate::hostile::verdict::{MEMORY, problem_of};

/// Where each field is in the header.
mod field {
    pub const VERSION: u64 = 6;
    pub const CIPHER: u64 = 8;
    pub const MODE: u64 = 40;
    pub const HASH: u64 = 72;
    pub const PAYLOAD: u64 = 104;
    pub const KEY_BYTES: u64 = 108;
    pub const DIGEST: u64 = 112;
    pub const DIGEST_SALT: u64 = 132;
    pub const DIGEST_ITERATIONS: u64 = 164;
    pub const SLOTS: u64 = 208;
    pub const SLOT_BYTES: u64 = 48;
    pub const STATE: u64 = 0;
    pub const ITERATIONS: u64 = 4;
    pub const SALT: u64 = 8;
    pub const MATERIAL: u64 = 40;
    pub const STRIPES: u64 = 44;
}

const CRYPTO_HEADER: [u8; 4] = [0x05, 0x37, 0xbe, 0x77];
const DISABLED: u32 = 0xdead;
const ITERATION_LIMIT: u32 = 100_000_000;

/// An image that QEMU made: of XTS with two keys of 256 bits, in the first of eight slots.
static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let lab = Lab::new();
    lab.create_encrypted("disk", "encrypt.format=luks,encrypt.iter-time=10", MIB);
    lab.bytes("disk")
});

/// That image with some bytes changed.
struct Broken(Vec<u8>);

impl Broken {
    fn new() -> Self {
        Self(SOUND.clone())
    }

    fn at(mut self, place: u64, bytes: &[u8]) -> Self {
        self.0[place as usize..][..bytes.len()].copy_from_slice(bytes);
        self
    }

    fn set(self, field: u64, value: u32) -> Self {
        let place = header_place() + field;
        self.at(place, &value.to_be_bytes())
    }

    fn set_slot(self, slot: u64, field: u64, value: u32) -> Self {
        self.set(slot_place(slot) + field, value)
    }

    fn text(self, field: u64, text: &str) -> Self {
        let place = header_place() + field;
        let mut bytes = [0; 32];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        self.at(place, &bytes)
    }

    fn flip(mut self, field: u64) -> Self {
        let place = header_place() + field;
        self.0[place as usize] ^= 1;
        self
    }

    fn open(&self) -> Result<Image<Disk>, DiskError> {
        let (opened, peak) = peak_of(|| now(Image::open(Disk::of(self.0.clone()), alone().passphrase(PASSPHRASE))));
        assert!(peak < MEMORY + self.0.len(), "{peak} bytes of memory");
        opened
    }

    fn qemu_opens(&self) -> bool {
        let lab = Lab::new();
        lab.put("disk", &self.0);
        let [object, key] = secret(PASSPHRASE);
        let arguments = ["check", "-q", &object, &key, "--image-opts", &options("disk")];
        lab.run("qemu-img", &arguments).status.success()
    }

    #[track_caller]
    fn we_refuse(&self, expected: impl Into<Problem>) {
        let expected = expected.into();
        let error = self.open().map(|_| ()).unwrap_err();
        assert_eq!(problem_of(&error), expected);
        let told = now(inspect(&Disk::of(self.0.clone()))).unwrap();
        // What no program could know is a problem of who opens it alone.
        if matches!(expected, Problem::Corrupt(corrupt) if !is_of_opening(corrupt)) {
            assert_eq!(told.problems, [expected]);
            assert_eq!(told.encryption, None);
        }
    }

    #[track_caller]
    fn both_refuse(&self, expected: impl Into<Problem>) {
        self.we_refuse(expected);
        assert!(!self.qemu_opens(), "QEMU opens it");
    }

    /// It opens no slot, for both.
    #[track_caller]
    fn opens_nothing(&self) {
        let error = self.open().map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::WrongPassphrase)), "{error:?}");
        assert!(!self.qemu_opens(), "QEMU opens it");
    }

    #[track_caller]
    fn both_open(&self) {
        assert!(now(whole(&self.open().unwrap())).unwrap().iter().all(|byte| *byte == 0));
        assert!(self.qemu_opens(), "QEMU doesn't open it");
    }
}

/// Where the LUKS header begins.
fn header_place() -> u64 {
    find(b"LUKS\xba\xbe")
}

/// Where the data of the extension begins that points to it.
fn pointer_place() -> u64 {
    find(&CRYPTO_HEADER) + 8
}

fn find(bytes: &[u8]) -> u64 {
    SOUND.windows(bytes.len()).position(|window| window == bytes).unwrap() as u64
}

fn is_of_opening(corrupt: Corrupt) -> bool {
    matches!(corrupt, Corrupt::Luks { fault: LuksFault::NoActiveSlot, .. })
}

fn slot_place(slot: u64) -> u64 {
    field::SLOTS + slot * field::SLOT_BYTES
}

/// A fault of the header, at a field.
fn fault(field: u64, fault: LuksFault) -> Corrupt {
    Corrupt::Luks { offset: header_place() + field, fault }
}

#[test]
fn the_image_is_sound() {
    Broken::new().both_open();
}

#[test]
fn the_magic_number_and_the_version() {
    for byte in 0..6 {
        let place = header_place();
        Broken::new().at(place + byte, b"?").both_refuse(fault(0, LuksFault::Magic));
    }
    for version in [0, 2, u16::MAX] {
        let place = header_place() + field::VERSION;
        Broken::new().at(place, &version.to_be_bytes()).both_refuse(Unsupported::LuksVersion(version));
    }
}

#[test]
fn names_that_do_not_end_or_that_nobody_knows() {
    for place in [field::CIPHER, field::MODE, field::HASH] {
        Broken::new().text(place, &"a".repeat(32)).both_refuse(fault(place, LuksFault::Text));
    }
    let unknown =
        |cipher: &str, mode: &str| Unsupported::LuksCipher { cipher: cipher.into(), mode: mode.into(), key_bits: 512 };
    for cipher in ["", "des", "AES", "aes-256"] {
        Broken::new().text(field::CIPHER, cipher).both_refuse(unknown(cipher, "xts-plain64"));
    }
    for mode in ["", "xts", "xts-", "ecb-plain64", "xts-plain65", "cbc-essiv", "cbc-essiv:", "cbc-essiv:md5"] {
        Broken::new().text(field::MODE, mode).we_refuse(unknown("aes", mode));
    }
    // 64 bytes are no key of CBC.
    Broken::new().text(field::MODE, "cbc-plain64").both_refuse(unknown("aes", "cbc-plain64"));
    for hash in ["", "md5", "SHA256", "sha3"] {
        Broken::new().text(field::HASH, hash).we_refuse(Unsupported::LuksHash { name: hash.into() });
    }
}

#[test]
fn the_payload_and_the_length_of_the_key() {
    for sectors in [0, 1, 7] {
        Broken::new().set(field::PAYLOAD, sectors).both_refuse(fault(field::PAYLOAD, LuksFault::Payload { sectors }));
    }
    // The first slot's material would be behind the end.
    let outside = LuksFault::Material { offset: 4096, length: 256_000 };
    Broken::new().set(field::PAYLOAD, 8).both_refuse(fault(slot_place(0), outside));
    // It says nothing in an image.
    Broken::new().set(field::PAYLOAD, u32::MAX).both_open();
    for length in [0, 65, 1 << 20, u32::MAX] {
        let expected = fault(field::KEY_BYTES, LuksFault::KeyBytes { length });
        Broken::new().set(field::KEY_BYTES, length).we_refuse(expected);
    }
    for length in [1, 31, 63] {
        let expected =
            Unsupported::LuksCipher { cipher: "aes".into(), mode: "xts-plain64".into(), key_bits: length * 8 };
        Broken::new().set(field::KEY_BYTES, length).both_refuse(expected);
    }
    Broken::new().set(field::KEY_BYTES, 32).opens_nothing();
}

#[test]
fn iterations_of_none_and_of_years() {
    Broken::new()
        .set(field::DIGEST_ITERATIONS, 0)
        .both_refuse(fault(field::DIGEST_ITERATIONS, LuksFault::NoIterations));
    Broken::new().set_slot(0, field::ITERATIONS, 0).both_refuse(fault(slot_place(0), LuksFault::NoIterations));
    for iterations in [ITERATION_LIMIT + 1, u32::MAX] {
        let expected = Unsupported::LuksIterations { iterations, limit: ITERATION_LIMIT };
        Broken::new().set(field::DIGEST_ITERATIONS, iterations).we_refuse(expected.clone());
        Broken::new().set_slot(0, field::ITERATIONS, iterations).we_refuse(expected);
    }
    // A slot that would take too long doesn't keep another one from opening.
    let patient = Broken::new().set_slot(7, field::STATE, 0x00ac_71f3).set_slot(7, field::ITERATIONS, u32::MAX);
    assert!(patient.open().is_ok());
    // Nobody derives anything for a slot that is inactive.
    Broken::new().set_slot(1, field::ITERATIONS, u32::MAX).both_open();
}

#[test]
fn slots() {
    for slot in 0..8 {
        for state in [0, 1, u32::MAX] {
            let expected = fault(slot_place(slot), LuksFault::SlotState { state });
            Broken::new().set_slot(slot, field::STATE, state).we_refuse(expected);
        }
        for stripes in [0, 1, 3999, 4001, u32::MAX] {
            let expected = fault(slot_place(slot), LuksFault::Stripes { stripes });
            Broken::new().set_slot(slot, field::STRIPES, stripes).we_refuse(expected);
        }
        let behind = LuksFault::Material { offset: u64::from(u32::MAX) * 512, length: 256_000 };
        Broken::new().set_slot(slot, field::MATERIAL, u32::MAX).we_refuse(fault(slot_place(slot), behind));
    }
    for (field, value) in [(field::STATE, 1), (field::STRIPES, 3999)] {
        assert!(!Broken::new().set_slot(5, field, value).qemu_opens());
    }
    for sectors in [0, 7] {
        let offset = u64::from(sectors) * 512;
        let over_fields = LuksFault::Material { offset, length: 256_000 };
        Broken::new().set_slot(0, field::MATERIAL, sectors).both_refuse(fault(slot_place(0), over_fields));
        let over_another = LuksFault::Overlap { offset: 4096, other: offset };
        Broken::new().set_slot(7, field::MATERIAL, sectors).both_refuse(fault(slot_place(0), over_another));
    }
    let overlap = fault(slot_place(0), LuksFault::Overlap { offset: 4096, other: 4608 });
    Broken::new().set_slot(1, field::MATERIAL, 9).both_refuse(overlap);
}

#[test]
fn no_slot_is_left() {
    Broken::new().set_slot(0, field::STATE, DISABLED).both_refuse(fault(0, LuksFault::NoActiveSlot));
}

#[test]
fn what_the_key_is_made_of() {
    for field in [field::DIGEST, field::DIGEST_SALT, slot_place(0) + field::SALT, 4096, 4096 + 255_999] {
        Broken::new().flip(field).opens_nothing();
    }
    // What an inactive slot holds is nobody's.
    Broken::new().flip(slot_place(1) + field::SALT).both_open();
}

#[test]
fn a_pointer_that_lies() {
    let pointer = pointer_place();
    let to =
        |offset: u64, length: u64| Broken::new().at(pointer, &[offset.to_be_bytes(), length.to_be_bytes()].concat());
    let place = header_place();
    let at = |offset: u64, fault: LuksFault| Corrupt::Luks { offset, fault };
    to(place, 0).both_refuse(at(place, LuksFault::Magic));
    for length in [6, 591] {
        to(place, length).both_refuse(at(place, LuksFault::Truncated { length }));
    }
    for length in [(64 << 20) + 1, u64::MAX] {
        to(place, length).we_refuse(at(place, LuksFault::Area { length }));
    }
    to(place, 592).both_refuse(fault(slot_place(0), LuksFault::Material { offset: 4096, length: 256_000 }));
    to(place + 512, 1 << 20).both_refuse(Corrupt::CryptoHeaderUnaligned { offset: place + 512 });
    to(0, 1 << 20).both_refuse(at(0, LuksFault::Magic));
    let end = Broken::new().0.len().next_multiple_of(65536) as u64;
    to(end, 1 << 20).both_refuse(at(end, LuksFault::Magic));
}

#[test]
fn a_file_that_ends_too_soon() {
    let place = header_place();
    for length in [6, 591] {
        let mut short = Broken::new();
        short.0.truncate((place + length) as usize);
        short.both_refuse(Corrupt::Luks { offset: place, fault: LuksFault::Truncated { length } });
    }
    let mut without_material = Broken::new();
    without_material.0.truncate((place + 4096) as usize);
    without_material.opens_nothing();
}
