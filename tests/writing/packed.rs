//! Clusters that were packed elsewhere.

use core::num::NonZeroUsize;

use qcow2_web::{Codecs, CompressionType, Error, Misuse, PackedClusters, Packer};

use crate::common::random::Random;
use crate::common::reading::{now, range, whole};
use crate::rig::checker::check;
use crate::rig::setup::{IMAGE, Setup};

const BITS: u32 = 12;
const CLUSTER: usize = 1 << BITS;

/// Text, zeros, noise, and a cluster of which the disk has a part.
fn disk(size: usize) -> Vec<u8> {
    let mut bytes = vec![b'a'; size];
    bytes[CLUSTER..2 * CLUSTER].fill(0);
    bytes[2 * CLUSTER..3 * CLUSTER].copy_from_slice(&Random::seeded(1).noise(CLUSTER));
    bytes
}

fn packed(disk: &[u8], zstd: bool) -> PackedClusters {
    let kind = if zstd { CompressionType::Zstd } else { CompressionType::Zlib };
    let make = Codecs::default().get(kind).compressor.unwrap();
    Packer::new(make(kind.default_level()), NonZeroUsize::new(CLUSTER).unwrap()).pack(disk)
}

#[test]
fn what_is_packed_elsewhere_is_read_here() {
    for zstd in [false, true] {
        let size = 4 * CLUSTER + 512;
        let setup = Setup { zstd, ..Setup::plain(BITS, size as u64) };
        let (machine, _) = setup.make(&mut Random::seeded(1));
        let image = setup.open(&machine).unwrap();
        let disk = disk(size);
        let clusters = packed(&disk, zstd);
        assert_eq!(clusters.lengths[1], 0);
        assert_eq!(clusters.lengths[2], 1 << BITS);
        now(image.write_precompressed(0, &clusters)).unwrap();
        assert!(now(whole(&image)).unwrap() == disk);
        // Once more over what is there, and as noise over what was packed.
        let noise = Random::seeded(2).noise(512);
        now(image.write_precompressed(0, &clusters)).unwrap();
        now(image.write_precompressed(4 << BITS, &packed(&noise, zstd))).unwrap();
        assert!(now(range(&image, 4 << BITS, 512)).unwrap() == noise);
        now(image.close()).unwrap();
        let findings = machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!(findings.exit_code(), 0, "{findings}");
    }
}

#[test]
fn what_are_no_clusters_of_the_disk_is_refused() {
    let setup = Setup::plain(BITS, 2 << BITS);
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    let clusters = |lengths: &[u32], bytes: usize| PackedClusters { lengths: lengths.to_vec(), bytes: vec![1; bytes] };
    let refused = |offset, clusters: PackedClusters| match now(image.write_precompressed(offset, &clusters)) {
        Err(Error::Misuse(misuse)) => misuse,
        other => panic!("{other:?}"),
    };
    let unaligned = |offset, length| Misuse::UnalignedCompressedWrite { offset, length };
    assert_eq!(refused(512, clusters(&[10], 10)), unaligned(512, 1 << BITS));
    assert_eq!(refused(0, clusters(&[10], 9)), unaligned(0, 9));
    assert_eq!(refused(0, clusters(&[10], 11)), unaligned(0, 11));
    assert_eq!(refused(0, clusters(&[(1 << BITS) + 1], (1 << BITS) + 1)), unaligned(0, (1 << BITS) + 1));
    assert_eq!(refused(0, clusters(&[u32::MAX, u32::MAX], 4)), unaligned(0, 4));
    for (offset, count) in [(0, 3), (2 << BITS, 1), (u64::MAX << BITS, 1)] {
        let misuse = refused(offset, clusters(&vec![0; count], 0));
        assert!(matches!(misuse, Misuse::OutOfBounds { .. }), "{misuse}");
    }
    now(image.write_precompressed(0, &clusters(&[], 0))).unwrap();
    assert!(now(whole(&image)).unwrap() == [0; 2 << BITS]);
}
