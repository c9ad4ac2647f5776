//! Header extensions: lengths that lie, areas that end, bitmaps that break off.

use std::ops::ControlFlow;

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{CheckOptions, Corrupt, HeaderTable, check, inspect};

use crate::common::KIB;
use crate::common::builder::{Builder, Built, extension, field};
use crate::common::disk::Disk;
use crate::common::reading::now;
use crate::hostile::verdict::{
    both_read_as, both_refuse, only_qemu_refuses, only_we_read, opened, we_only_read, we_refuse,
};

const SIZE: u64 = 64 * KIB;
const UNKNOWN: u32 = 0x0dd_ba11;

fn plan() -> Builder {
    Builder::new(4 * KIB, SIZE).with_data(1, 0x77)
}

fn contents() -> Vec<u8> {
    plan().contents(&[])
}

/// An extension of that kind whose record says another length than it has.
fn lying(kind: u32, length: u32) -> Built {
    let image = plan().with_extension(kind, [0; 8]).build();
    let record = image.extensions;
    image.set_u32(record + 4, length)
}

#[test]
fn longer_than_the_area() {
    // The area ends with the first cluster.
    for length in [4096, 1 << 31, u32::MAX - 7, u32::MAX] {
        only_we_read(&lying(UNKNOWN, length), &contents(), Corrupt::ExtensionTooLong { offset: 112, length });
    }
    both_read_as(&lying(UNKNOWN, 4096 - 120), &contents());
}

#[test]
fn the_backing_name_ends_the_area() {
    let image = plan().backed_by("b", None).with_extension(UNKNOWN, [0; 8]).build();
    let room = u32::try_from(image.u64_at(field::BACKING_FILE_OFFSET) - 120).unwrap();
    let image = image.set_u32(image_record() + 4, room + 1);
    we_refuse(&image, Corrupt::ExtensionTooLong { offset: 112, length: room + 1 });
}

fn image_record() -> u64 {
    plan().build().extensions
}

#[test]
fn no_end_marker() {
    // A cluster of 512 bytes full of empty extensions, to its last byte.
    let mut image = Builder::new(512, 4 * KIB).with_data(1, 0x77).build();
    for record in (112..512).step_by(8) {
        image = image.set_u32(record, UNKNOWN);
    }
    both_read_as(&image, &image.contents(&[]));
    let info = now(opened(&image).info()).unwrap();
    assert_eq!(info.unknown_extensions.len(), 50);
}

#[test]
fn unknown_ones_are_listed_and_inspected() {
    let image = plan().with_extension(UNKNOWN, *b"hello").with_extension(UNKNOWN + 1, []).build();
    both_read_as(&image, &contents());
    let info = now(opened(&image).info()).unwrap();
    assert_eq!(info.unknown_extensions, [(UNKNOWN, 5), (UNKNOWN + 1, 0)]);
    let extensions = now(inspect(&Disk::of(image.bytes))).unwrap().extensions;
    assert_eq!((&extensions[0].data[..], extensions[0].offset), (&b"hello"[..], 120));
}

#[test]
fn backing_format_of_more_than_15_bytes() {
    let image = plan().with_extension(extension::BACKING_FORMAT, [b'q'; 16]).build();
    let problem = Corrupt::ExtensionLength { kind: extension::BACKING_FORMAT, offset: 120, length: 16 };
    only_we_read(&image, &contents(), problem);
    // A backing file must not be probed because its format can't be read.
    let image = plan().backed_by("b", None).with_extension(extension::BACKING_FORMAT, [b'q'; 16]).build();
    both_refuse(&image, problem);
}

#[test]
fn bitmaps_extension_of_another_length() {
    for length in [0, 16, 32] {
        let image = plan().with_extension(extension::BITMAPS, vec![0; length as usize]).build();
        // QEMU reads the bitmaps only where they are said to be consistent.
        let image = image.set_u64(field::AUTOCLEAR, 1);
        only_we_read(&image, &contents(), Corrupt::ExtensionLength { kind: extension::BITMAPS, offset: 120, length });
    }
}

/// What the bitmaps extension says.
fn bitmaps(count: u32, size: u64, offset: u64) -> Vec<u8> {
    [&count.to_be_bytes()[..], &[0; 4], &size.to_be_bytes(), &offset.to_be_bytes()].concat()
}

fn entry(granularity_bits: u8, name: &str, extra: u32) -> Vec<u8> {
    let name_length = u16::try_from(name.len()).unwrap();
    let mut entry = [
        &0u64.to_be_bytes()[..],
        &1u32.to_be_bytes(),
        &0u32.to_be_bytes(),
        &[1, granularity_bits],
        &name_length.to_be_bytes(),
        &extra.to_be_bytes(),
        name.as_bytes(),
    ]
    .concat();
    entry.resize(entry.len().next_multiple_of(8), 0);
    entry
}

/// An image whose bitmap directory is `directory`, in the place of guest cluster 1.
fn with_directory(count: u32, directory: &[u8]) -> Built {
    let place = plan().build().hosts[&1];
    let size = directory.len() as u64;
    let mut image = plan().with_extension(extension::BITMAPS, bitmaps(count, size, place)).build();
    assert_eq!(image.hosts[&1], place);
    image.set(place, directory);
    image.set_u64(field::AUTOCLEAR, 1)
}

/// The disk of an image with a directory: it shows at guest cluster 1.
fn with_contents(image: &Built) -> Vec<u8> {
    let mut disk = vec![0; SIZE as usize];
    disk[4096..8192].copy_from_slice(&image.bytes[crate::common::index(image.hosts[&1])..][..4096]);
    disk
}

#[test]
fn bitmap_directory_that_is_sound() {
    let image = with_directory(2, &[entry(16, "day", 0), entry(9, "night", 0)].concat());
    let info = now(opened(&image).info()).unwrap();
    let found: Vec<_> = info.bitmaps.iter().map(|bitmap| (&*bitmap.name, bitmap.granularity)).collect();
    assert_eq!(found, [("day", 65_536), ("night", 512)]);
}

#[test]
fn bitmap_directory_too_large() {
    for (count, size) in [(1, (65_535 << 10) + 1), (1, u64::MAX), (65_536, 4096)] {
        let image = plan().with_extension(extension::BITMAPS, bitmaps(count, size, 4096)).build();
        let image = image.set_u64(field::AUTOCLEAR, 1);
        we_only_read(&image, &contents(), Corrupt::TableTooLarge { table: HeaderTable::Bitmaps, count: size });
    }
}

#[test]
fn bitmap_directory_entries_that_are_broken() {
    let place = plan().build().hosts[&1];
    let refusal = |index| Corrupt::BitmapEntry { index, directory: place };
    let long = "n".repeat(1024);
    for broken in [entry(8, "fine", 0), entry(32, "fine", 0), entry(255, "fine", 0), entry(16, &long, 0)] {
        let image = with_directory(2, &[entry(16, "sound", 0), broken].concat());
        we_only_read(&image, &with_contents(&image), refusal(1));
    }
    // The directory ends within the second entry, and within its name.
    let image = with_directory(2, &entry(16, "sound", 0));
    we_only_read(&image, &with_contents(&image), refusal(1));
    let mut cut = entry(16, "sound", 0);
    cut.extend(&entry(16, "a name of some length", 0)[..32]);
    let image = with_directory(2, &cut);
    we_only_read(&image, &with_contents(&image), refusal(1));
}

/// The entry of a bitmap that is in use, so that its table may have any length.
fn in_use(name: &str, table: u64, entries: u32) -> Vec<u8> {
    let mut entry = entry(16, name, 0);
    entry[..8].copy_from_slice(&table.to_be_bytes());
    entry[8..12].copy_from_slice(&entries.to_be_bytes());
    entry[12..16].copy_from_slice(&1u32.to_be_bytes());
    entry
}

#[test]
fn check_of_long_bitmap_tables_reads_what_the_file_has_and_can_be_given_up() {
    // How often a check tells that it is at the bitmaps, which come before everything else.
    let told = |table: u64| {
        let image = with_directory(2, &[in_use("day", table, 50_000), in_use("night", table, 50_000)].concat());
        let mut told = 0;
        let options = CheckOptions::new().on_progress(|progress| {
            told += u32::from(progress.done == 0);
            ControlFlow::Continue(())
        });
        now(check(&MemoryStorage::from(image.bytes), options)).unwrap();
        told
    };
    assert_eq!(told(4096), 2);
    assert_eq!(told(1 << 40), 0);
}

#[test]
fn bitmaps_that_are_not_said_to_be_consistent_are_not_looked_at() {
    let image = with_directory(2, &entry(8, "broken", 0)).set_u64(field::AUTOCLEAR, 0);
    both_read_as(&image, &with_contents(&image));
}

#[test]
fn crypto_header_in_an_image_that_is_not_encrypted() {
    // A check reports it.
    let image = plan().with_extension(extension::CRYPTO_HEADER, [0xff; 16]).build();
    only_qemu_refuses(&image, &contents(), "a pointer that nothing uses");
}

#[test]
fn known_extensions_twice() {
    let image =
        plan().with_extension(extension::DATA_FILE, *b"first").with_extension(extension::DATA_FILE, *b"second").build();
    both_read_as(&image, &contents());
}

#[test]
fn feature_table_of_an_odd_length() {
    let image = plan().with_extension(extension::FEATURE_NAMES, [7; 47 + 48]).build();
    both_read_as(&image, &contents());
}
