//! Images of which a part is gone: what is missing is told, and what is left can be read.

use std::ops::Range;

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{CheckOptions, Error, Finding, Image, OpenOptions, Storage, check, inspect};

use crate::check::oracle::ask;
use crate::common::builder::{Builder, Built, Cluster};
use crate::common::deflate::compressed;
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{now, open};
use crate::common::{KIB, MIB, index};

const CLUSTERS: u64 = 64;

/// Compressed clusters by turns with others.
fn built() -> Built {
    let plan = Builder::new(4 * KIB, CLUSTERS * 4 * KIB);
    let plan = (0..CLUSTERS).fold(plan, |plan, guest| match guest % 3 {
        0 => {
            let unpacked = vec![guest as u8 + 1; 4096];
            plan.with(guest, Cluster::Compressed { stream: compressed(&unpacked, 4096), unpacked })
        }
        _ => plan.with_data(guest, guest as u8 + 1),
    });
    plan.build()
}

/// The parts that can't be read, with the codes of their errors, and the disk without them.
fn salvaged<S: Storage>(image: &Image<S>) -> (Vec<(Range<u64>, &'static str)>, Vec<u8>) {
    let mut disk = vec![0xee; index(image.size())];
    let parts = now(image.read_salvage(0, &mut disk)).ok().unwrap();
    (parts.iter().map(|part| (part.offset..part.offset + part.length, part.error.code())).collect(), disk)
}

fn without(parts: &[Range<u64>]) -> Vec<u8> {
    let mut disk = built().contents(&[]);
    for part in parts {
        disk[index(part.start)..index(part.end)].fill(0);
    }
    disk
}

#[test]
fn a_sound_image_is_salvaged_whole() {
    assert_eq!(salvaged(&open(&Disk::of(built().bytes)).unwrap()), (Vec::new(), without(&[])));
}

#[test]
fn broken_clusters_are_left_out() {
    let mut image = built();
    // Streams that are none, of two clusters; and two entries side by side that point between clusters.
    for guest in [3, 30] {
        let stream = image.hosts[&guest];
        image.set(stream, &[0xff; 8]);
    }
    for guest in [40, 41] {
        let entry = image.l2_entry(guest);
        let word = image.u64_at(entry);
        image = image.set_u64(entry, word + 512);
    }
    let opened = open(&Disk::of(image.bytes)).unwrap();
    let part = |first: u64, end: u64| first * 4096..end * 4096;
    let (parts, disk) = salvaged(&opened);
    let expected = [
        (part(3, 4), "CORRUPT_COMPRESSED_CLUSTER"),
        (part(30, 31), "CORRUPT_COMPRESSED_CLUSTER"),
        (part(40, 42), "CORRUPT_L2_ENTRY"),
    ];
    assert_eq!(parts, expected);
    assert!(disk == without(&[part(3, 4), part(30, 31), part(40, 42)]));
    // What is no damage fails all of it.
    let refused = now(opened.read_salvage(opened.size(), &mut [0; 1])).unwrap_err();
    assert!(matches!(refused, Error::Misuse(_)), "{refused}");
}

/// A storage of which a part can't be read.
struct BadSector(MemoryStorage, Range<u64>);

impl Storage for BadSector {
    type Error = std::io::Error;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        if offset < self.1.end && self.1.start < offset + buf.len() as u64 {
            return Err(std::io::Error::other("a bad sector"));
        }
        self.0.read_at(offset, buf).await.map_err(std::io::Error::other)
    }

    async fn size(&self) -> Result<u64, Self::Error> {
        self.0.size().await.map_err(std::io::Error::other)
    }
}

#[test]
fn bad_sectors_cost_4_kib() {
    let base = vec![7; index(MIB)];
    let top = Builder::new(64 * KIB, MIB).backed_by("base", Some("raw")).with_data(2, 9).build();
    let (top, base) = (MemoryStorage::from(top.bytes), MemoryStorage::from(base));
    let top = BadSector(top, u64::MAX..u64::MAX);
    let base = BadSector(base, 520 * KIB..521 * KIB);
    let image = now(Image::open(top, OpenOptions::new().backing(vec![base.into()]))).unwrap();
    let (parts, disk) = salvaged(&image);
    assert_eq!(parts, [(520 * KIB..524 * KIB, "STORAGE")]);
    assert!(disk[index(524 * KIB)..].iter().all(|byte| *byte == 7));
}

#[test]
fn what_a_cut_takes_is_missing() {
    let lab = Lab::new();
    let mut bytes = Random::seeded(1).noise(index(8 * MIB));
    bytes[index(2 * MIB)..index(3 * MIB)].fill(0);
    lab.put("disk.raw", &bytes);
    for options in [&["-c"][..], &["-o", "cluster_size=4k"], &["-o", "cluster_size=64k,extended_l2=on"], &[]] {
        let arguments = [&["convert", "-f", "raw", "-O", "qcow2"][..], options, &["disk.raw", "whole"]].concat();
        lab.qemu_img(&arguments);
        let whole = lab.bytes("whole");
        for percent in [100, 99, 70, 30] {
            let mut cut = whole.clone();
            cut.truncate(whole.len() * percent / 100);
            let (missing, told) = missing_of(&cut);
            let expected = whole.len() as u64 - cut.len() as u64;
            assert_eq!(missing, told, "{options:?} {percent} %");
            assert!(missing <= expected, "{options:?} {percent} %: {missing} of {expected}");
            // The last cluster may be cut off. Where a table is gone, nothing tells what it mapped: so at 4 KiB.
            let tables_are_there = options.get(1) != Some(&"cluster_size=4k");
            let known = if tables_are_there { expected - expected / 20 } else { 4 * KIB };
            let known = if percent > 90 { 0 } else { known.saturating_sub(256 * KIB) + 1 };
            assert!(missing >= known, "{options:?} {percent} %: {missing} of {expected}");
        }
    }
}

/// What an open image says, and what inspecting it says.
fn missing_of(bytes: &[u8]) -> (u64, u64) {
    let disk = Disk::of(bytes.to_vec());
    let opened = open(&disk).unwrap();
    (now(opened.info()).unwrap().missing, now(inspect(&disk)).unwrap().missing)
}

/// A file that is no longer than it has to be, and one that ends within its last cluster, are whole.
#[test]
fn nothing_is_missing_of_images_by_qemu() {
    let lab = Lab::new();
    for options in ["compat=1.1", "cluster_size=512,refcount_bits=64", "preallocation=metadata", "cluster_size=2M"] {
        lab.create("disk", options, 64 * MIB);
        assert_eq!(missing_of(&lab.bytes("disk")), (0, 0), "{options}");
        lab.io("disk", &["write -q 1M 3M".into(), "write -q 60M 100k".into()]);
        assert_eq!(missing_of(&lab.bytes("disk")), (0, 0), "{options}");
    }
}

/// As many as clusters are gone, by QEMU's count; one finding by ours.
#[test]
fn a_check_finds_once_that_a_file_is_cut_off() {
    let lab = Lab::new();
    lab.put("disk.raw", &Random::seeded(1).noise(index(4 * MIB)));
    lab.qemu_img(&["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk"]);
    let mut bytes = lab.bytes("disk");
    bytes.truncate(index(2 * MIB));
    lab.put("disk", &bytes);
    let report = now(check(&MemoryStorage::from(bytes), CheckOptions::new())).unwrap();
    let cut: Vec<_> = report.findings.iter().filter(|finding| matches!(finding, Finding::CutOff { .. })).collect();
    assert_eq!(cut.len(), 1, "{:?}", report.findings);
    assert!(matches!(cut[0], Finding::CutOff { references: 30.., lost: 0, .. }), "{:?}", cut[0]);
    let theirs = ask(lab.folder(), "disk", &[]).numbers.unwrap();
    assert_eq!((report.corruptions, report.leaks), (theirs.corruptions, theirs.leaks));
}
