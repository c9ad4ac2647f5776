//! L1 and L2 entries that point where they should not.

use qcow2_web::{Corrupt, Image, Step};

use crate::common::builder::{Builder, Built, COMPRESSED, COPIED, Cluster, compressed_entry, field};
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::reading::{alone, now, open, whole};
use crate::common::{GIB, KIB, TIB, index};
use crate::hostile::verdict::{both_read, both_read_as, both_refuse, problem_of};

const CLUSTER: u64 = 4 * KIB;

fn plan() -> Builder {
    Builder::new(CLUSTER, 64 * KIB).with_data(0, 0x11).with_data(1, 0x22).with_data(3, 0x44)
}

fn sound() -> Built {
    plan().build()
}

/// The sound image with another L2 entry for guest cluster 1.
fn with_entry(entry: u64) -> Built {
    let image = sound();
    let at = image.l2_entry(1);
    image.set_u64(at, entry)
}

/// The contents of the sound image with other bytes in guest cluster 1.
fn with_contents(bytes: &[u8]) -> Vec<u8> {
    let mut disk = sound().contents(&[]);
    disk[index(CLUSTER)..index(2 * CLUSTER)].copy_from_slice(bytes);
    disk
}

const NOTHING: [u8; CLUSTER as usize] = [0; CLUSTER as usize];

#[test]
fn l1_entry_between_clusters() {
    let entry_offset = sound().l1_entry(0);
    for table in [512, 2048, 4096 + 512, 0x00ff_ffff_ffff_fe00] {
        let image = sound().set_u64(entry_offset, table | COPIED);
        both_refuse(&image, Corrupt::L2TableUnaligned { entry_offset, table });
    }
}

#[test]
fn l1_entry_with_reserved_bits() {
    // QEMU masks them away.
    let entry = sound().l1_entry(0);
    let word = sound().u64_at(entry) | 0x7f00_0000_0000_01ff;
    both_read_as(&sound().set_u64(entry, word), &sound().contents(&[]));
}

#[test]
fn l2_table_past_the_end_of_the_file() {
    let nothing = vec![0; index(64 * KIB)];
    for table in [GIB, TIB, 0x00ff_ffff_ffff_f000] {
        let image = sound().set_u64(sound().l1_entry(0), table | COPIED);
        both_read_as(&image, &nothing);
    }
}

#[test]
fn l2_table_that_the_file_ends_in() {
    let image = sound();
    // The table is the last thing in the file, and of it the first two entries.
    let table = image.bytes.len() as u64;
    let mut image = image.set_u64(sound().l1_entry(0), table | COPIED);
    let entries = [image.hosts[&3] | COPIED, image.hosts[&0] | COPIED];
    image.bytes.extend(entries.iter().flat_map(|entry| entry.to_be_bytes()));
    let mut contents = vec![0; index(64 * KIB)];
    contents[..index(CLUSTER)].fill(0x44);
    contents[index(CLUSTER)..index(2 * CLUSTER)].fill(0x11);
    both_read_as(&image, &contents);
}

#[test]
fn l2_table_at_the_header() {
    // Offset 0 is no offset.
    let image = sound().set_u64(sound().l1_entry(0), COPIED);
    both_read_as(&image, &vec![0; index(64 * KIB)]);
}

#[test]
fn l2_table_that_is_the_l1_table() {
    // Guest cluster 0 is then the L2 table, which is the L1 table, and so on: no more than bytes.
    let image = sound();
    let (l1, entry) = (image.l1, image.l1_entry(0));
    let image = image.set_u64(entry, l1 | COPIED);
    let contents = both_read(&image);
    assert_eq!(contents[..index(CLUSTER)], image.bytes[index(l1)..index(l1 + CLUSTER)]);
}

#[test]
fn all_l1_entries_share_one_l2_table() {
    // 512-byte clusters, so that the disk has many of them.
    let plan = Builder::new(512, 512 * KIB).with_data(0, 1).with_data(63, 2);
    let mut image = plan.build();
    let entry = image.u64_at(image.l1_entry(0));
    for at in 1..image.l1_entries {
        image = image.clone().set_u64(image.l1_entry(at), entry);
    }
    let contents = both_read(&image);
    let (first, rest) = contents.split_at(32 << 10);
    assert!(rest.chunks(32 << 10).all(|table| table == first));
}

#[test]
fn cluster_between_clusters() {
    let entry_offset = sound().l2_entry(1);
    for cluster in [512, 2048, 4096 + 512, 0x00ff_ffff_ffff_fe00] {
        both_refuse(&with_entry(cluster | COPIED), Corrupt::ClusterUnaligned { entry_offset, cluster });
    }
}

#[test]
fn zero_cluster_between_clusters() {
    let entry_offset = sound().l2_entry(1);
    both_refuse(&with_entry(512 | 1 | COPIED), Corrupt::ClusterUnaligned { entry_offset, cluster: 512 });
}

#[test]
fn cluster_at_offset_zero() {
    // With or without COPIED: 0 is no offset.
    both_read_as(&with_entry(COPIED), &with_contents(&NOTHING));
    both_read_as(&with_entry(COPIED | 1), &with_contents(&NOTHING));
}

#[test]
fn cluster_past_the_end_of_the_file() {
    for offset in [GIB, TIB, 0x00ff_ffff_ffff_f000] {
        both_read_as(&with_entry(offset | COPIED), &with_contents(&NOTHING));
    }
}

#[test]
fn cluster_that_the_file_ends_in() {
    let image = sound();
    let end = image.bytes.len() as u64;
    let mut image = image.set_u64(sound().l2_entry(1), end | COPIED);
    image.bytes.extend([0x99; 1000]);
    let mut cluster = NOTHING;
    cluster[..1000].fill(0x99);
    both_read_as(&image, &with_contents(&cluster));
}

#[test]
fn cluster_that_is_a_table() {
    let image = sound();
    let table = image.l2[&0];
    let image = with_entry(table | COPIED);
    let bytes = image.bytes[index(table)..index(table + CLUSTER)].to_vec();
    both_read_as(&image, &with_contents(&bytes));
}

#[test]
fn l2_entry_with_reserved_bits() {
    let word = sound().u64_at(sound().l2_entry(1)) | 0x3f00_0000_0000_01fe;
    both_read_as(&with_entry(word), &sound().contents(&[]));
}

#[test]
fn zero_flag_in_version_2() {
    let image = plan().version_2().build();
    let entry_offset = image.l2_entry(1);
    both_refuse(&image.set_u64(entry_offset, 1), Corrupt::ZeroInVersion2 { entry_offset });
}

#[test]
fn compressed_cluster_at_offset_zero() {
    // What is there is the header, which is no stream.
    let image = with_entry(COMPRESSED);
    let error = qcow2_web::DecompressError::Invalid;
    both_refuse(&image, Corrupt::Compressed { offset: 0, error });
}

#[test]
fn compressed_cluster_past_the_end_of_the_file() {
    // Zeros are a stored block whose length and its complement don't match.
    let offset = GIB;
    let image = with_entry(compressed_entry(12, offset, 0));
    let error = qcow2_web::DecompressError::Invalid;
    both_refuse(&image, Corrupt::Compressed { offset, error });
}

#[test]
fn compressed_cluster_at_the_end_of_all_offsets() {
    let image = with_entry(u64::MAX);
    let offset = (1 << 58) - 1;
    let error = qcow2_web::DecompressError::Invalid;
    both_refuse(&image, Corrupt::Compressed { offset, error });
}

fn extended() -> Builder {
    Builder::new(16 * KIB, 128 * KIB).extended().with_data(0, 0x11).with_data(1, 0x22)
}

#[test]
fn subclusters_both_allocated_and_zero() {
    let image = extended().build();
    let entry_offset = image.l2_entry(1);
    for bitmap in [1 << 32 | 1, u64::MAX, 1 << 63 | 1 << 31] {
        let image = image.clone().set_u64(entry_offset + 8, bitmap);
        both_refuse(&image, Corrupt::Subclusters { entry_offset, bitmap });
    }
}

#[test]
fn subclusters_allocated_without_a_cluster() {
    let image = extended().build();
    let entry_offset = image.l2_entry(1);
    let image = image.set_u64(entry_offset, 0).set_u64(entry_offset + 8, 0x10);
    both_refuse(&image, Corrupt::Subclusters { entry_offset, bitmap: 0x10 });
}

#[test]
fn zero_flag_in_an_extended_entry() {
    // The bitmap decides; QEMU does not look at the flag.
    let image = extended().build();
    let at = image.l2_entry(1);
    let word = image.u64_at(at) | 1;
    both_read_as(&image.clone().set_u64(at, word), &image.contents(&[]));
}

#[test]
fn extended_cluster_between_clusters() {
    let image = extended().build();
    let entry_offset = image.l2_entry(1);
    let image = image.set_u64(entry_offset, 8192);
    both_refuse(&image, Corrupt::ClusterUnaligned { entry_offset, cluster: 8192 });
}

#[test]
fn compressed_cluster_with_a_bitmap() {
    let unpacked = vec![0x5a; index(16 * KIB)];
    let stream = crate::common::deflate::compressed(&unpacked, 4096);
    let image = extended().with(1, Cluster::Compressed { stream, unpacked }).build();
    let contents = image.contents(&[]);
    let image = image.clone().set_u64(image.l2_entry(1) + 8, u64::MAX);
    both_read_as(&image, &contents);
}

#[test]
fn compressed_cluster_beside_a_data_file() {
    let plan = Builder::new(CLUSTER, 64 * KIB).with_data_file("disk.data", false).with_data(0, 0x11);
    let image = plan.build();
    let entry_offset = image.l2_entry(1);
    let disk = Disk::of(image.set_u64(entry_offset, COMPRESSED | 5).bytes);
    let options = alone().data_file(Disk::of(vec![0x11; index(CLUSTER)]));
    let image = now(Image::open(disk, options)).unwrap();
    let error = now(whole(&image)).unwrap_err();
    assert_eq!(problem_of(&error), Corrupt::CompressedWithDataFile { entry_offset }.into());
}

#[test]
fn cluster_at_another_place_of_the_data_file() {
    // The format has it only for raw data files; QEMU for all of them.
    let lab = Lab::new();
    for raw in [false, true] {
        let image = Builder::new(CLUSTER, 64 * KIB).with_data_file("disk.data", raw).with_data(0, 0x11).build();
        let entry_offset = image.l2_entry(1);
        let image = image.set_u64(entry_offset, (5 * CLUSTER) | COPIED);
        lab.put("disk.qcow2", &image.bytes);
        lab.put("disk.data", &vec![0; 64 << 10]);
        lab.try_contents("disk.qcow2").unwrap_err();
        let options = alone().data_file(Disk::of(vec![0; 64 << 10]));
        let image = now(Image::open(Disk::of(image.bytes), options)).unwrap();
        let error = now(whole(&image)).unwrap_err();
        let refusal = Corrupt::MovedInDataFile { entry_offset, cluster: 5 * CLUSTER };
        assert_eq!(problem_of(&error), refusal.into());
    }
}

#[test]
fn a_broken_cluster_leaves_the_others_readable() {
    let image = open(&Disk::of(with_entry(512).bytes)).unwrap();
    let mut bytes = vec![0; index(CLUSTER)];
    now(image.read_at(0, &mut bytes)).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0x11));
    now(image.read_at(3 * CLUSTER, &mut bytes)).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0x44));
    now(image.read_at(CLUSTER, &mut bytes)).unwrap_err();
}

#[test]
fn a_disk_of_two_exbibytes_from_a_file_of_nothing() {
    // 32 MiB of L1 table, all of it past the end of the file.
    let image = Builder::new(2 << 20, 64 * KIB).build();
    let huge = 1 << 61;
    let image = image.set_u64(field::SIZE, huge).set_u32(field::L1_SIZE, 4 << 20);
    let disk = Disk::of(image.bytes[..index(4 << 20)].to_vec());
    let (last, peak) = crate::common::memory::peak_of(|| {
        let image = open(&disk).unwrap();
        assert_eq!(image.size(), huge);
        let mut last = [1; 512];
        now(image.read_at(huge - 512, &mut last)).unwrap();
        last
    });
    assert_eq!(last, [0; 512]);
    assert!(peak < 4 << 20, "{peak} bytes of memory");
    assert!(disk.reads().len() <= 5);
}

#[test]
fn the_map_is_known_up_to_a_broken_entry() {
    // Of the first table, of the second, and of the L1 table: what is before it is told, then the error.
    let image = plan().with_data(512, 0x55).with_data(520, 0x66);
    let image = Builder { size: 4 << 20, ..image }.build();
    let cases = [(image.l2_entry(5), 5), (image.l2_entry(515), 515), (image.l1_entry(1), 512)];
    for (place, guest) in cases {
        let opened = open(&Disk::of(image.clone().set_u64(place, 512).bytes)).unwrap();
        let mut map = opened.map(0, opened.size()).unwrap();
        let mut known = 0;
        let error = loop {
            match now(map.step()) {
                Ok(Step::Extent(extent)) => known = extent.start + extent.length,
                Ok(Step::Working { position }) => known = position,
                Ok(Step::Done) => panic!("the entry is broken"),
                Err(error) => break error,
            }
        };
        assert_eq!(problem_of(&error).offset(), Some(place));
        assert_eq!(known, guest * CLUSTER, "known up to the cluster");
        assert_eq!(problem_of(&now(map.step()).unwrap_err()).offset(), Some(place), "and the same once more");
    }
}
