//! Images encrypted by LUKS of which the header extension says what can't be. `qemu-img check -r` takes the key material for
//! lost space then, and frees it; without it nothing opens the image any more.

use std::sync::LazyLock;

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{Finding, Repair, RepairOptions, RepairReport, Verdict, repair};

use crate::common::builder::{COPIED, extension};
use crate::common::lab::Lab;
use crate::common::reading::now;
use crate::common::{MIB, index};

const CLUSTER: u64 = 64 << 10;

/// An image that QEMU made.
struct Made {
    bytes: Vec<u8>,
    /// Where the extension has the offset of the LUKS header, and behind that its length.
    pointer: usize,
}

static MADE: LazyLock<Made> = LazyLock::new(Made::new);

impl Made {
    fn new() -> Self {
        let lab = Lab::new();
        lab.create_encrypted("image", "encrypt.format=luks,encrypt.iter-time=10,preallocation=metadata", MIB);
        let bytes = lab.bytes("image");
        let kind = extension::CRYPTO_HEADER.to_be_bytes();
        let pointer = bytes.windows(4).position(|window| window == kind).unwrap() + 8;
        Self { bytes, pointer }
    }

    /// Where the LUKS header begins.
    fn header(&self) -> u64 {
        u64::from_be_bytes(self.bytes[self.pointer..][..8].try_into().unwrap())
    }

    fn said_to_have(&self, length: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[self.pointer + 8..][..8].copy_from_slice(&length.to_be_bytes());
        bytes
    }
}

fn repaired(bytes: &[u8], which: Repair) -> (Vec<u8>, RepairReport) {
    let storage = MemoryStorage::from(bytes.to_vec());
    let report = now(repair(&storage, RepairOptions::new(which))).unwrap();
    (storage.into_bytes(), report)
}

#[test]
fn a_header_that_is_said_to_be_longer_than_the_file() {
    let made = &*MADE;
    let behind = made.bytes.len() as u64 - made.header();
    for length in [behind + 2 * CLUSTER, 63 * MIB, 1 << 40, u64::MAX] {
        let bytes = made.said_to_have(length);
        let (freed, report) = repaired(&bytes, Repair::Leaks);
        let (place, offset) = (made.pointer as u64, made.header());
        assert_eq!(report.before.findings, [Finding::PastEnd { reference_offset: place, offset, length, lost: false }]);
        assert!(freed == bytes, "{length}");
        let (mended, report) = repaired(&bytes, Repair::All);
        assert_eq!(report.after.verdict(), Verdict::Clean, "{:?}", report.after.findings);
        assert!(mended == made.bytes, "{length}");
    }
}

#[test]
fn a_header_that_is_said_to_be_longer_than_the_file_and_lost_space() {
    let made = &*MADE;
    let mut bytes = made.said_to_have(1 << 40);
    // The disk's first cluster is nobody's any more.
    let l2_table = index(u64::from_be_bytes(bytes[3 * index(CLUSTER)..][..8].try_into().unwrap()) & !COPIED);
    bytes[l2_table..][..8].fill(0);
    let (_, report) = repaired(&bytes, Repair::Leaks);
    assert_eq!((report.before.leaks, report.after.leaks, report.after.corruptions), (1, 0, 1));
    let (_, report) = repaired(&bytes, Repair::All);
    assert_eq!((report.before.leaks, report.after.verdict()), (1, Verdict::Clean));
}

#[test]
fn a_file_that_ends_within_the_key_material() {
    let made = &*MADE;
    let mut bytes = made.bytes.clone();
    bytes.truncate(index(made.header() + MIB));
    for which in [Repair::Leaks, Repair::All] {
        let (_, report) = repaired(&bytes, which);
        // What is left of it is in use.
        assert_eq!((report.before.leaks, report.before.corruptions), (0, 1));
        assert_eq!((report.after.leaks, report.after.corruptions), (0, 1));
    }
}

#[test]
fn a_header_that_is_none() {
    let made = &*MADE;
    let mut bytes = made.said_to_have(1 << 40);
    bytes[index(made.header())] ^= 1;
    let (freed, report) = repaired(&bytes, Repair::Leaks);
    assert!(report.before.leaks > 0);
    assert!(freed == bytes, "whose they are is not known");
}
