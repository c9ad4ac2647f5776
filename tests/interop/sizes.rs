//! Disks of all sizes: none at all, no multiple of anything, and the largest that there can be.

use crate::common::builder::field;
use crate::common::compare::{Folder, compare_map, compare_with_qemu, row};
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::reading::{assert_same, extents, now, open, range, whole};
use crate::common::{KIB, MIB, index};

#[test]
fn disks_of_no_bytes() {
    let lab = Lab::new();
    for options in ["compat=0.10", "compat=1.1", "cluster_size=512", "cluster_size=2M,extended_l2=on"] {
        lab.create("empty.qcow2", options, 0);
        compare_with_qemu(&lab, &Folder::new(&lab), "empty.qcow2");
        let image = Folder::new(&lab).open("empty.qcow2");
        assert_eq!(image.size(), 0);
        now(image.read_at(0, &mut [])).unwrap();
        now(image.read_at(0, &mut [0])).unwrap_err();
        now(image.read_at(1, &mut [])).unwrap_err();
    }
}

#[test]
fn disks_whose_size_is_no_multiple_of_a_sector() {
    let lab = Lab::new();
    let mut sizes = vec![1, 511, 513, 65_535, 65_537, 3 * 65_536 + 1000];
    sizes.extend([MIB - 1, MIB - 511, MIB - 513]);
    for version in ["0.10", "1.1"] {
        lab.create("disk.qcow2", &format!("compat={version}"), MIB);
        lab.io("disk.qcow2", &["write -q -P 0x61 0 1M".into()]);
        let image = lab.bytes("disk.qcow2");
        for size in &sizes {
            let mut image = image.clone();
            image[index(field::SIZE)..][..8].copy_from_slice(&size.to_be_bytes());
            lab.put("odd.qcow2", &image);
            compare_with_qemu(&lab, &Folder::new(&lab), "odd.qcow2");
        }
    }
}

#[test]
fn disks_of_every_number_of_sectors_around_a_cluster() {
    let lab = Lab::new();
    for sectors in (0..20).chain([127, 128, 129]) {
        let size = sectors * 512;
        lab.create("disk.qcow2", "cluster_size=4k", size);
        if size > 0 {
            lab.io("disk.qcow2", &[format!("write -q -P 0x61 {} {}", size / 2, size - size / 2)]);
        }
        compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    }
}

/// Writes at the beginning, in the middle and at the very end, and reads there and between.
fn check_largest(options: &str, cluster: u64, size: u64) {
    let lab = Lab::new();
    lab.create("huge.qcow2", options, size);
    let middle = size / 2 + cluster;
    let last = size - cluster;
    lab.io(
        "huge.qcow2",
        &[
            format!("write -q -P 0x61 0 {cluster}"),
            format!("write -q -P 0x62 {middle} {cluster}"),
            format!("write -q -P 0x63 {last} {cluster}"),
        ],
    );
    let disk = Disk::file(lab.path("huge.qcow2"));
    let image = open(&disk).unwrap();
    assert_eq!(image.size(), size);
    assert!(disk.reads().len() <= 3, "{} requests to open it", disk.reads().len());
    assert!(disk.bytes_read() <= 128 * KIB, "{} bytes to open it", disk.bytes_read());
    let expect = |offset: u64, byte: u8| {
        let bytes = now(range(&image, offset, cluster)).unwrap();
        assert!(bytes.iter().all(|found| *found == byte), "{options} at {offset:#x}");
    };
    expect(0, 0x61);
    expect(cluster, 0);
    expect(middle - cluster, 0);
    expect(middle, 0x62);
    expect(middle + cluster, 0);
    expect(last, 0x63);
    now(image.read_at(last + 1, &mut vec![0; index(cluster)])).unwrap_err();
    // `qemu-img map` takes minutes for the largest of these, so it is not asked.
    let map: Vec<_> = now(extents(&image)).unwrap().iter().map(row).map(|row| (row.start, row.data)).collect();
    let expected = [(0, true), (cluster, false), (middle, true), (middle + cluster, false), (last, true)];
    assert_eq!(map, expected, "{options}");
}

/// The L1 table has 2^22 entries at most, each for an L2 table of 2^bits bytes.
#[test]
fn the_largest_disks_of_small_clusters() {
    for bits in 9..=15 {
        check_largest(&format!("cluster_size={}", 1 << bits), 1 << bits, 1 << (22 + 2 * bits - 3));
    }
}

#[test]
fn the_largest_disks_of_large_clusters() {
    for bits in 16..=21 {
        check_largest(&format!("cluster_size={}", 1 << bits), 1 << bits, 1 << (22 + 2 * bits - 3));
    }
}

#[test]
fn the_largest_disks_with_extended_l2() {
    for bits in 14..=21 {
        let options = format!("cluster_size={},extended_l2=on", 1 << bits);
        check_largest(&options, 1 << bits, 1 << (22 + 2 * bits - 4));
    }
}

#[test]
fn runs_across_l2_tables() {
    // An L2 table of 64 KiB covers 512 MiB.
    let lab = Lab::new();
    let border = 512 * MIB;
    lab.create("disk.qcow2", "preallocation=metadata", border + 8 * MIB);
    lab.io("disk.qcow2", &[format!("write -q -P 0x61 {} 2M", border - MIB)]);
    compare_map(&lab, &Folder::new(&lab), "disk.qcow2");
    let disk = Disk::file(lab.path("disk.qcow2"));
    let image = open(&disk).unwrap();
    now(range(&image, border - 512, 1024)).unwrap();
    disk.forget_reads();
    let bytes = now(range(&image, border - MIB, 2 * MIB)).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0x61));
    // Preallocated clusters lie in a row, but for the second L2 table between them.
    let mut reads = disk.reads();
    reads.sort_by_key(|read| read.start);
    let lengths: Vec<_> = reads.iter().map(|read| read.end - read.start).collect();
    assert_eq!(lengths, [MIB, MIB]);
}

#[test]
fn preallocated_images() {
    let lab = Lab::new();
    for preallocation in ["metadata", "falloc", "full"] {
        for options in ["", ",extended_l2=on", ",cluster_size=512", ",cluster_size=2M", ",compat=0.10"] {
            let options = format!("preallocation={preallocation}{options}");
            lab.create("disk.qcow2", &options, 5 * MIB + 512);
            lab.io("disk.qcow2", &["write -q -P 0x61 1000k 600k".into(), "write -q -z 3M 1M".into()]);
            compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
        }
    }
}

#[test]
fn the_same_disk_in_every_cluster_size() {
    // The matrix has five cluster sizes in full; here are all of them.
    let lab = Lab::new();
    for version in ["0.10", "1.1"] {
        for bits in 9..=21 {
            let plain = format!("compat={version},cluster_size={}", 1 << bits);
            let mut all = vec![plain.clone()];
            if version == "1.1" && bits >= 14 {
                all.push(format!("{plain},extended_l2=on,compression_type=zstd"));
            }
            for options in all {
                lab.create("disk.qcow2", &options, 8 * MIB + 1536);
                lab.io(
                    "disk.qcow2",
                    &[
                        "write -q -P 0x61 5000 300000".into(),
                        "write -q -P 0x62 3M 300k".into(),
                        "write -q -z 3100k 100k".into(),
                        "write -q -c -P 0x63 4M 2M".into(),
                        "write -q -P 0x64 8M 1536".into(),
                    ],
                );
                compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
            }
        }
    }
}

#[test]
fn files_that_are_longer_than_they_need_to_be() {
    let lab = Lab::new();
    lab.create("disk.qcow2", "cluster_size=4k", MIB);
    lab.io("disk.qcow2", &["write -q -P 0x61 0 100k".into()]);
    let mut bytes = lab.bytes("disk.qcow2");
    bytes.extend(vec![0xff; 12_345]);
    lab.put("disk.qcow2", &bytes);
    compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    let image = Folder::new(&lab).open("disk.qcow2");
    assert_same(&now(whole(&image)).unwrap(), &lab.contents("disk.qcow2"), "the disk");
}
