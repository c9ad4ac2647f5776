//! Heads with which QEMU opens no image: a check reports them, and a repair makes them sound.

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{AmendOptions, Image, OpenOptions, Repair, RepairOptions, RepairReport, amend, repair};

use super::findings::check_bytes;
use super::oracle::ask;
use crate::common::KIB;
use crate::common::builder::{Builder, Built, extension, field};
use crate::common::lab::Lab;
use crate::common::reading::{assert_same, now, whole};

const IMAGE: &str = "head.qcow2";
const RAW_DATA_FILE: u64 = 2;
/// Feature bits that nobody has defined.
const UNKNOWN: u64 = 1 << 63 | 1 << 5;

fn plan() -> Builder {
    Builder::new(4 * KIB, 64 * KIB).with_data(1, 0x77)
}

fn repaired(bytes: &[u8], which: Repair) -> (Vec<u8>, RepairReport) {
    let storage = MemoryStorage::from(bytes.to_vec());
    let report = now(repair(&storage, RepairOptions::new(which))).unwrap();
    (storage.into_bytes(), report)
}

fn autoclear(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(*bytes[88..].first_chunk().unwrap())
}

/// QEMU opens it only when it is repaired; a check of ours reports that by `code`.
fn only_repaired(image: &Built, code: &str) {
    let lab = Lab::new();
    lab.put(IMAGE, &image.bytes);
    assert_eq!(ask(lab.folder(), IMAGE, &[]).numbers, None, "{code}: QEMU opens it");
    let report = check_bytes(image.bytes.clone()).unwrap();
    let codes: Vec<_> = report.findings.iter().map(qcow2_web::Finding::code).collect();
    assert_eq!((codes, report.corruptions, report.lossy), (vec![code], 1, 0));
    let (bytes, report) = repaired(&image.bytes, Repair::All);
    assert_eq!(report.after.corruptions, 0, "{code}");
    lab.put(IMAGE, &bytes);
    lab.check(IMAGE);
    assert_same(&lab.contents(IMAGE), &plan().contents(&[]), code);
}

#[test]
fn an_end_marker_with_a_length() {
    for length in [4096, u32::MAX] {
        for image in [plan().build(), plan().with_extension(0x0dd_ba11, *b"hello").build()] {
            let end = if image.bytes[112..116] == [0; 4] { 112 } else { 112 + 8 + 8 };
            let image = image.set_u32(end + 4, length);
            only_repaired(&image, "EXTENSION_END");
            // Until then it can be read, and not be written.
            let storage = MemoryStorage::from(image.bytes);
            let open = now(Image::open(&storage, OpenOptions::new())).unwrap();
            assert_eq!(now(whole(&open)).unwrap(), plan().contents(&[]));
            let refused = now(Image::open_writable(&storage, OpenOptions::new())).map(drop).unwrap_err();
            assert_eq!(refused.code(), "CORRUPT_EXTENSION");
        }
    }
}

#[test]
fn a_raw_data_file_without_a_data_file() {
    let image = plan().build().set_u64(field::AUTOCLEAR, RAW_DATA_FILE);
    only_repaired(&image, "RAW_WITHOUT_DATA_FILE");
}

#[test]
fn a_crypto_header_of_an_image_without_luks() {
    let image = plan().with_extension(extension::CRYPTO_HEADER, [0; 16]).build();
    only_repaired(&image, "UNUSED_CRYPTO_HEADER");
}

/// Who doesn't know them clears them before anything else changes.
#[test]
fn whatever_writes_clears_unknown_autoclear_bits() {
    let sound = plan().build().set_u64(field::AUTOCLEAR, UNKNOWN);
    // A leaked cluster at the end of the file.
    let mut leaking = sound.clone();
    let leaked = leaking.bytes.len() as u64 / (4 * KIB);
    leaking.bytes.resize(leaking.bytes.len() + 4096, 0);
    let block = leaking.u64_at(leaking.u64_at(field::REFCOUNT_TABLE_OFFSET));
    leaking = leaking.set_u16(block + 2 * leaked, 1);
    for which in [Repair::Leaks, Repair::All] {
        let (bytes, report) = repaired(&leaking.bytes, which);
        assert_eq!((report.before.leaks, report.after.leaks), (1, 0));
        assert_eq!(autoclear(&bytes), 0, "{which:?}");
        // What has nothing to repair writes nothing.
        let (bytes, _) = repaired(&sound.bytes, which);
        assert!(bytes == sound.bytes, "{which:?}");
    }
    let dirty = sound.clone().set_u64(field::INCOMPATIBLE, 1);
    assert_eq!(autoclear(&repaired(&dirty.bytes, Repair::All).0), 0, "the mark is taken away");
    for options in [AmendOptions::new().lazy_refcounts(true), AmendOptions::new().refcount_bits(64)] {
        let storage = MemoryStorage::from(sound.bytes.clone());
        now(amend(&storage, &options)).unwrap();
        assert_eq!(autoclear(&storage.into_bytes()), 0, "{options:?}");
    }
}
