//! Each field of the header, at and beyond its limits.

use qcow2_web::{Corrupt, FileFormat, HeaderTable, Unsupported};

use crate::common::builder::{Builder, Built, Cluster, extension, field};
use crate::common::disk::Disk;
use crate::common::{KIB, MIB};
use crate::hostile::verdict::{
    both_read, both_read_as, both_refuse, only_qemu_refuses, only_we_read, opened, we_refuse,
};

const SIZE: u64 = 256 * KIB;

fn plan() -> Builder {
    Builder::new(4 * KIB, SIZE).with_data(0, 0x11).with_data(5, 0x55).with(7, Cluster::Zero)
}

/// Clusters of 4 KiB, a disk of 256 KiB, three clusters in use.
fn sound() -> Built {
    plan().build()
}

fn version_2() -> Built {
    Builder::new(4 * KIB, SIZE).version_2().with_data(0, 0x11).build()
}

#[test]
fn the_sound_image_is_sound() {
    both_read_as(&sound(), &sound().contents(&[]));
    both_read_as(&version_2(), &version_2().contents(&[]));
}

#[test]
fn another_magic() {
    both_refuse(&sound().set_u32(field::MAGIC, 0x5146_49fc), Unsupported::Format(FileFormat::Unknown));
}

#[test]
fn other_versions() {
    both_refuse(&sound().set_u32(field::VERSION, 1), Unsupported::Version(1));
    for version in [0, 4, u32::MAX] {
        both_refuse(&sound().set_u32(field::VERSION, version), Unsupported::Version(version));
    }
}

#[test]
fn backing_name_past_the_first_cluster() {
    for offset in [4097, 1 << 32, u64::MAX] {
        let image = sound().set_u64(field::BACKING_FILE_OFFSET, offset).set_u32(field::BACKING_FILE_SIZE, 1);
        both_refuse(&image, Corrupt::BackingNameOffset { offset });
    }
}

#[test]
fn backing_name_too_long() {
    let plan = plan().backed_by(&"n".repeat(1023), Some("raw"));
    for length in [1024, 4096, u32::MAX] {
        let image = plan.build().set_u32(field::BACKING_FILE_SIZE, length);
        both_refuse(&image, Corrupt::BackingNameLength { length });
    }
}

#[test]
fn backing_name_leaves_the_first_cluster() {
    let image = sound().set_u64(field::BACKING_FILE_OFFSET, 4090).set_u32(field::BACKING_FILE_SIZE, 7);
    both_refuse(&image, Corrupt::BackingNameLength { length: 7 });
}

#[test]
fn backing_name_of_no_length() {
    let image = sound().set_u64(field::BACKING_FILE_OFFSET, 200).set_u32(field::BACKING_FILE_SIZE, 0);
    both_read_as(&image, &sound().contents(&[]));
}

#[test]
fn clusters_of_impossible_sizes() {
    for bits in [0, 1, 8, 22, 31, 32, 63, 64, 255, u32::MAX] {
        both_refuse(&sound().set_u32(field::CLUSTER_BITS, bits), Corrupt::ClusterBits { bits });
    }
}

#[test]
fn disk_larger_than_its_l1_table() {
    // One entry covers 512 clusters of 4 KiB.
    let covered = 2 * MIB;
    both_read(&sound().set_u64(field::SIZE, covered));
    for (size, needed) in [(covered + 1, 2), (covered + 512, 2), (1 << 40, 1 << 19), (u64::MAX, 1 << 43)] {
        both_refuse(&sound().set_u64(field::SIZE, size), Corrupt::L1TooSmall { entries: 1, needed });
    }
}

#[test]
fn disk_without_an_l1_table() {
    both_refuse(&sound().set_u32(field::L1_SIZE, 0), Corrupt::L1TooSmall { entries: 0, needed: 1 });
}

#[test]
fn l1_table_larger_than_the_disk_needs() {
    // Up to 32 MiB; what is past the end of the file reads as zeros.
    both_read_as(&sound().set_u32(field::L1_SIZE, 2), &sound().contents(&[]));
    both_read_as(&sound().set_u32(field::L1_SIZE, 4 << 20), &sound().contents(&[]));
}

#[test]
fn l1_table_beyond_32_mib() {
    for count in [(4 << 20) + 1, u32::MAX] {
        let image = sound().set_u32(field::L1_SIZE, count);
        both_refuse(&image, Corrupt::TableTooLarge { table: HeaderTable::L1, count: count.into() });
    }
}

#[test]
fn l1_table_between_clusters() {
    for offset in [1, 512, 4097, u64::MAX] {
        let image = sound().set_u64(field::L1_TABLE_OFFSET, offset);
        both_refuse(&image, Corrupt::TableUnaligned { table: HeaderTable::L1, offset });
    }
}

#[test]
fn l1_table_at_the_header() {
    // The entry is then the magic number and the version: a table far past the end of the file.
    both_read_as(&sound().set_u64(field::L1_TABLE_OFFSET, 0), &nothing());
}

#[test]
fn l1_table_past_the_end_of_the_file() {
    for offset in [1 << 30, 1 << 55] {
        both_read_as(&sound().set_u64(field::L1_TABLE_OFFSET, offset), &nothing());
    }
    let reason = "QEMU has no files as long as that";
    only_qemu_refuses(&sound().set_u64(field::L1_TABLE_OFFSET, i64::MAX as u64 & !4095), &nothing(), reason);
}

fn nothing() -> Vec<u8> {
    vec![0; SIZE as usize]
}

#[test]
fn refcount_table_between_clusters() {
    for offset in [1, 512, 4097, u64::MAX] {
        let image = sound().set_u64(field::REFCOUNT_TABLE_OFFSET, offset);
        only_we_read(&image, &sound().contents(&[]), Corrupt::TableUnaligned { table: HeaderTable::Refcounts, offset });
    }
}

#[test]
fn refcount_table_beyond_8_mib() {
    // It would exhaust the memory of a reader that loads it whole.
    both_read(&sound().set_u32(field::REFCOUNT_TABLE_CLUSTERS, 2048));
    for count in [2049, u32::MAX] {
        let image = sound().set_u32(field::REFCOUNT_TABLE_CLUSTERS, count);
        only_we_read(
            &image,
            &sound().contents(&[]),
            Corrupt::TableTooLarge { table: HeaderTable::Refcounts, count: count.into() },
        );
    }
}

#[test]
fn no_refcount_table() {
    let image = sound().set_u32(field::REFCOUNT_TABLE_CLUSTERS, 0);
    only_we_read(&image, &sound().contents(&[]), Corrupt::NoRefcountTable);
}

#[test]
fn refcount_table_past_the_end_of_the_file() {
    // Reading needs no reference counts.
    both_read_as(&sound().set_u64(field::REFCOUNT_TABLE_OFFSET, 1 << 40), &sound().contents(&[]));
}

#[test]
fn reference_counts_that_are_nonsense() {
    // An empty table, blocks at offset 0, past the end, between clusters, over each other, over the header: a reader
    // needs none of them.
    let table = sound().u64_at(field::REFCOUNT_TABLE_OFFSET);
    for entry in [0, 511, 512, 4096, 1 << 40, u64::MAX] {
        let mut image = sound();
        for at in (table..table + 4096).step_by(8) {
            image = image.set_u64(at, entry);
        }
        both_read_as(&image, &sound().contents(&[]));
    }
}

#[test]
fn unknown_encryption() {
    both_refuse(&sound().set_u32(field::CRYPT_METHOD, 3), Unsupported::EncryptionMethod(3));
    both_refuse(&sound().set_u32(field::CRYPT_METHOD, u32::MAX), Unsupported::EncryptionMethod(u32::MAX));
}

#[test]
fn every_unknown_incompatible_feature() {
    for bit in 5..64 {
        let bits = 1 << bit;
        let image = sound().set_u64(field::INCOMPATIBLE, bits);
        we_refuse(&image, Unsupported::Features { bits, names: Vec::new() });
    }
    let bits = !0x1f;
    both_refuse(&sound().set_u64(field::INCOMPATIBLE, bits), Unsupported::Features { bits, names: Vec::new() });
}

#[test]
fn unknown_features_are_called_by_the_names_that_the_image_gives_them() {
    let entry = |kind: u8, bit: u8, name: &str| {
        let mut entry = vec![kind, bit];
        entry.extend(name.as_bytes());
        entry.resize(48, 0);
        entry
    };
    let table = [
        entry(0, 7, "time travel"),
        entry(1, 8, "of another kind"),
        // 46 bytes, without a zero at the end.
        entry(0, 9, &"x".repeat(46)),
        // No bit of a word of 64.
        entry(0, 200, "far away"),
        entry(9, 10, "of no kind"),
    ]
    .concat();
    let bits = 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10;
    let image = plan().with_extension(extension::FEATURE_NAMES, table).build();
    let names = vec!["time travel".into(), "x".repeat(46)];
    both_refuse(&image.set_u64(field::INCOMPATIBLE, bits), Unsupported::Features { bits, names });
}

#[test]
fn unknown_compatible_and_autoclear_features_change_nothing() {
    let image = sound().set_u64(field::COMPATIBLE, u64::MAX).set_u64(field::AUTOCLEAR, !3);
    both_read_as(&image, &sound().contents(&[]));
}

#[test]
fn compression_type_without_its_feature_bit() {
    let mut image = sound();
    image.set(field::COMPRESSION_TYPE, &[1]);
    both_refuse(&image, Corrupt::CompressionFlag { flag: false, compression_type: 1 });
}

#[test]
fn feature_bit_without_a_compression_type() {
    let image = sound().set_u64(field::INCOMPATIBLE, 1 << 3);
    both_refuse(&image, Corrupt::CompressionFlag { flag: true, compression_type: 0 });
}

#[test]
fn unknown_compression_types() {
    for kind in [2, 255] {
        let mut image = sound().set_u64(field::INCOMPATIBLE, 1 << 3);
        image.set(field::COMPRESSION_TYPE, &[kind]);
        both_refuse(&image, Unsupported::CompressionType(kind));
    }
}

#[test]
fn extended_l2_with_clusters_of_8_kib() {
    let plan = Builder::new(8 * KIB, SIZE);
    let image = plan.build().set_u64(field::INCOMPATIBLE, 1 << 4);
    both_refuse(&image, Corrupt::SubclusterTooSmall { cluster_bits: 13 });
}

#[test]
fn reference_counts_of_all_widths() {
    for order in 0..=6 {
        both_read_as(&sound().set_u32(field::REFCOUNT_ORDER, order), &sound().contents(&[]));
    }
    for order in [7, 63, 64, u32::MAX] {
        let image = sound().set_u32(field::REFCOUNT_ORDER, order);
        only_we_read(&image, &sound().contents(&[]), Corrupt::RefcountOrder { order });
    }
}

#[test]
fn header_lengths() {
    for length in [0, 8, 72, 103, 4097, 4104, u32::MAX] {
        let image = sound().set_u32(field::HEADER_LENGTH, length);
        both_refuse(&image, Corrupt::HeaderLength { length });
    }
    // A longer header, of fields that nobody knows yet, and one without a compression type.
    for length in [104, 120, 1024] {
        let plan = Builder { header_length: length, ..plan() };
        both_read_as(&plan.build(), &plan.contents(&[]));
    }
    both_read_as(&sound().set_u32(field::HEADER_LENGTH, 4096), &sound().contents(&[]));
}

#[test]
fn version_2_has_no_feature_words() {
    // What version 3 has there is the area of the extensions: this one is of an unknown type, and empty.
    let image = version_2().set_u64(field::INCOMPATIBLE, 0x1234_5678 << 32);
    both_read_as(&image, &version_2().contents(&[]));
}

#[test]
fn files_that_end_within_the_header() {
    let image = sound();
    for length in [0, 1, 3] {
        let format = if length == 0 { FileFormat::Empty } else { FileFormat::Unknown };
        both_refuse(&image.clone().truncated(length), Unsupported::Format(format));
    }
    for length in [4, 7, 8, 71, 72, 103] {
        both_refuse(&image.clone().truncated(length), Corrupt::HeaderTruncated { length });
    }
}

#[test]
fn sizes_that_are_no_multiple_of_a_sector_are_rounded_down() {
    for size in [1, 511, 513, SIZE - 1] {
        let image = sound().set_u64(field::SIZE, size);
        assert_eq!(both_read(&image).len() as u64, size / 512 * 512);
    }
}

#[test]
fn dirty_and_corrupt_images_are_read() {
    for bits in [1, 2, 3] {
        let image = sound().set_u64(field::INCOMPATIBLE, bits);
        both_read_as(&image, &sound().contents(&[]));
    }
}

#[test]
fn data_file_without_a_name_is_asked_for_without_one() {
    let image = sound().set_u64(field::INCOMPATIBLE, 1 << 2);
    let disk = Disk::of(image.bytes);
    let error = crate::common::reading::open(&disk).unwrap_err();
    assert_eq!(error.code(), "MISSING_DATA_FILE");
}

#[test]
fn opening_takes_three_requests_at_most() {
    let image = opened(&sound());
    drop(image);
    let disk = Disk::of(sound().bytes);
    crate::common::reading::open(&disk).unwrap();
    assert!(disk.reads().len() <= 3, "{:?}", disk.reads());
}
