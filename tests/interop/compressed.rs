//! Images by `qemu-img convert -c`: real streams, packed as QEMU packs them.

use crate::common::compare::{Folder, compare_with_qemu};
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now, open, range, whole};
use crate::common::{KIB, MIB, index};

/// A disk of text, noise and nothing, in pieces of odd lengths.
fn mixture(length: u64) -> Vec<u8> {
    let mut random = Random::seeded(length);
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let piece = index(random.below(200_000) + 1);
        bytes.extend(match random.below(3) {
            0 => random.noise(piece),
            1 => vec![0; piece],
            _ => random.text(piece),
        });
    }
    bytes.truncate(index(length));
    bytes
}

fn convert(lab: &Lab, options: &str) {
    lab.qemu_img(&["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, "disk.raw", "disk.qcow2"]);
}

#[test]
fn deflate_in_every_cluster_size() {
    let lab = Lab::new();
    let disk = mixture(3 * MIB + 512 * 5);
    lab.put("disk.raw", &disk);
    for bits in 9..=21 {
        convert(&lab, &format!("cluster_size={}", 1 << bits));
        assert_same(&lab.contents("disk.qcow2"), &disk, "what QEMU reads");
        compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    }
}

#[test]
fn zstd_in_every_cluster_size() {
    let lab = Lab::new();
    lab.put("disk.raw", &mixture(3 * MIB + 512 * 7));
    for bits in 9..=21 {
        convert(&lab, &format!("cluster_size={},compression_type=zstd", 1 << bits));
        compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    }
}

#[test]
fn with_extended_l2() {
    let lab = Lab::new();
    lab.put("disk.raw", &mixture(6 * MIB));
    for bits in [14, 16, 21] {
        for compression in ["zlib", "zstd"] {
            convert(&lab, &format!("cluster_size={},extended_l2=on,compression_type={compression}", 1 << bits));
            compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
        }
    }
}

#[test]
fn in_version_2() {
    let lab = Lab::new();
    lab.put("disk.raw", &mixture(3 * MIB));
    for bits in [9, 12, 16, 21] {
        convert(&lab, &format!("cluster_size={},compat=0.10", 1 << bits));
        compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
    }
}

#[test]
fn written_out_of_order() {
    let lab = Lab::new();
    lab.put("disk.raw", &mixture(6 * MIB));
    let arguments = ["convert", "-c", "-W", "-m", "8", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2"];
    lab.qemu_img(&arguments);
    compare_with_qemu(&lab, &Folder::new(&lab), "disk.qcow2");
}

#[test]
fn clusters_that_follow_each_other_are_fetched_together() {
    let lab = Lab::new();
    lab.put("disk.raw", &Random::seeded(1).text(index(4 * MIB)));
    convert(&lab, "cluster_size=64k");
    let disk = Disk::file(lab.path("disk.qcow2"));
    let image = open(&disk).unwrap();
    disk.forget_reads();
    assert_same(&now(whole(&image)).unwrap(), &lab.bytes("disk.raw"), "the whole disk");
    // 64 clusters: two slices of tables and a few requests for all the streams.
    assert!(disk.reads().len() <= 8, "{} requests", disk.reads().len());
}

#[test]
fn the_last_unpacked_clusters_are_kept() {
    let lab = Lab::new();
    lab.put("disk.raw", &Random::seeded(2).text(index(MIB)));
    convert(&lab, "cluster_size=64k");
    let disk = Disk::file(lab.path("disk.qcow2"));
    let image = open(&disk).unwrap();
    now(range(&image, 0, 4 * KIB)).unwrap();
    disk.forget_reads();
    for offset in (0..64 * KIB).step_by(4096) {
        now(range(&image, offset, 4 * KIB)).unwrap();
    }
    assert_eq!(disk.reads(), [], "all of the cluster is at hand");
}
