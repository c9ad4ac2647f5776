//! Caches keep to their budgets, whatever is read.

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{CreateOptions, Image, OpenOptions, Preallocation};

use crate::common::builder::{Builder, Cluster};
use crate::common::deflate::compressed;
use crate::common::disk::Disk;
use crate::common::executor::block_on;
use crate::common::memory::{held_by, peak_of};
use crate::common::random::Random;
use crate::common::reading::{alone, now, range};
use crate::common::{GIB, KIB, MIB, index};

const TABLES: u64 = 2000;

/// Opens the image, reads 512 bytes at each offset, and gives the most memory that was held.
fn peak_of_reads(bytes: Vec<u8>, tables: usize, clusters: usize, offsets: impl Iterator<Item = u64>) -> usize {
    let disk = Disk::of(bytes);
    let ((), peak) = peak_of(|| {
        let options = alone().table_cache(tables).cluster_cache(clusters);
        let image = now(Image::open(disk.clone(), options)).unwrap();
        for offset in offsets {
            now(range(&image, offset, 512)).unwrap();
            disk.forget_reads();
        }
    });
    peak
}

/// 2,000 L2 tables of 4 KiB, each with something in it.
fn of_many_tables() -> Vec<u8> {
    let plan = Builder::new(4 * KIB, 4 * GIB);
    (0..TABLES).fold(plan, |plan, table| plan.with(table * 512, Cluster::Zero)).build().bytes
}

#[test]
fn tables() {
    let image = of_many_tables();
    for budget in [0, 64 << 10, 1 << 20, 4 << 20] {
        let offsets = (0..TABLES).map(|table| table << 21);
        let peak = peak_of_reads(image.clone(), budget, 0, offsets.clone().chain(offsets.rev()));
        // What keeps account of the slices is small against them; opening takes 64 KiB.
        let limit = budget + budget / 4 + (160 << 10);
        assert!(peak <= limit, "{peak} bytes for a budget of {budget}");
        assert!(peak >= budget / 10 * 9, "the budget is made use of: {peak} bytes of {budget}");
    }
}

#[test]
fn unpacked_clusters() {
    const CLUSTERS: u64 = 100;
    let size = 64 << 10;
    let plan = (0..CLUSTERS).fold(Builder::new(size, CLUSTERS * size), |plan, guest| {
        let unpacked = vec![guest as u8; 64 << 10];
        plan.with(guest, Cluster::Compressed { stream: compressed(&unpacked, 4096), unpacked })
    });
    let image = plan.build().bytes;
    for budget in [0, 256 << 10, 1 << 20, 4 << 20] {
        let offsets = (0..CLUSTERS).map(|guest| guest * size + 5);
        let peak = peak_of_reads(image.clone(), 64 << 10, budget, offsets.clone().chain(offsets.rev()));
        // Beside them: a cluster while it is unpacked, buffers for the next ones, and the codec.
        let limit = budget + (1 << 20);
        assert!(peak <= limit, "{peak} bytes for a budget of {budget}");
        assert!(peak >= budget / 10 * 9, "the budget is made use of: {peak} bytes of {budget}");
    }
}

/// Many requests of the storage under way at once, whose buffers are small and large by turns.
#[test]
fn unpacked_clusters_after_mixed_requests() {
    const CLUSTERS: u64 = 128;
    let size = 64 << 10;
    let plan = (0..CLUSTERS).fold(Builder::new(size, CLUSTERS * size), |plan, guest| {
        // Some kilobytes of it do not compress: a large read takes its streams in groups of up to 2 MiB.
        let mut unpacked = vec![guest as u8; 64 << 10];
        unpacked[..40 << 10].copy_from_slice(&Random::seeded(guest).noise(40 << 10));
        plan.with(guest, Cluster::Compressed { stream: compressed(&unpacked, 4096), unpacked })
    });
    let bytes = plan.build().bytes;
    for budget in [0, 1 << 20, 4 << 20] {
        let disk = Disk::slow(bytes.clone());
        let (image, held) = held_by(|| {
            let options = alone().table_cache(64 << 10).cluster_cache(budget);
            let image = block_on(Image::open(disk.clone(), options)).unwrap();
            for round in 0..24 {
                block_on(range(&image, round % 5 * MIB, 4 * MIB)).unwrap();
                for part in 0..3 {
                    block_on(range(&image, (round * 7 + part * 3) % CLUSTERS * size + 5, 512)).unwrap();
                }
                disk.forget_reads();
            }
            image
        });
        let limit = budget + budget / 4 + (400 << 10);
        assert!(held <= limit, "{held} bytes for a budget of {budget}");
        drop(image);
    }
}

/// A large read asks for many groups of compressed clusters at once, but not for all.
#[test]
fn a_large_read_of_compressed_clusters_holds_a_few_groups() {
    const CLUSTERS: u64 = 512;
    let size = 64 << 10;
    // All but a few bytes of it do not compress, so that 32 MiB take as many.
    let mut unpacked = vec![1; 64 << 10];
    unpacked[..60 << 10].copy_from_slice(&Random::seeded(1).noise(60 << 10));
    let stream = compressed(&unpacked, 4096);
    let plan = (0..CLUSTERS).fold(Builder::new(size, CLUSTERS * size), |plan, guest| {
        plan.with(guest, Cluster::Compressed { stream: stream.clone(), unpacked: unpacked.clone() })
    });
    let disk = Disk::slow(plan.build().bytes);
    let image = block_on(Image::open(disk.clone(), alone().cluster_cache(0))).unwrap();
    let mut buf = vec![0; index(CLUSTERS * size)];
    let (result, peak) = peak_of(|| block_on(image.read_at(0, &mut buf)));
    result.unwrap();
    assert!(peak < 12 << 20, "{peak} bytes beside the buffer");
}

/// The smallest slices, where keeping account of them takes the largest part.
#[test]
fn tables_of_512_bytes_after_reads_and_writes() {
    let storage = MemoryStorage::default();
    let options = CreateOptions::new(64 * MIB).cluster_size(512).preallocation(Preallocation::Metadata);
    now(options.write_to(&storage, None)).unwrap();
    for budget in [0, 64 << 10, 256 << 10] {
        let (open, held) = held_by(|| {
            let open = now(Image::open_writable(&storage, OpenOptions::new().table_cache(budget))).unwrap();
            for place in (0..64 * MIB).step_by(index(32 * KIB)) {
                // In place: the test's own storage does not grow.
                now(open.write_at(place, &[7; 512])).unwrap();
                now(range(&open, 64 * MIB - 512 - place, 512)).unwrap();
            }
            now(open.flush()).unwrap();
            open
        });
        let limit = budget + budget / 10 + (160 << 10);
        assert!(held <= limit, "{held} bytes for a budget of {budget}");
        drop(open);
    }
}

#[test]
fn a_large_read_takes_little_beside_its_buffer() {
    // 64 MiB of which every cluster is a run of its own.
    let clusters = 16_384;
    let plan = (0..clusters)
        .step_by(2)
        .fold(Builder::new(4 * KIB, clusters * 4 * KIB), |plan, guest| plan.with(guest, Cluster::Data(vec![1; 4096])));
    let disk = Disk::of(plan.build().bytes);
    let image = now(Image::open(disk.clone(), alone())).unwrap();
    let mut buf = vec![0; 64 << 20];
    let (result, peak) = peak_of(|| now(image.read_at(0, &mut buf)));
    result.unwrap();
    // The list of reads that the test's own storage keeps is in it: 16 bytes for each of 8,192.
    assert!(peak < 1 << 20, "{peak} bytes beside the buffer");
}
