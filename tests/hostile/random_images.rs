//! Images put together at random, read against a flat model of their disk.

use std::collections::BTreeMap;

use qcow2_web::{BackingFile, Extent, Image};

use crate::common::builder::{Builder, Cluster, SnapshotPlan};
use crate::common::deflate::compressed;
use crate::common::disk::Disk;
use crate::common::executor::block_on;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{alone, assert_same, extents, frugal, now, range, ranges, whole};
use crate::common::zstd::{Frame, skippable};
use crate::common::{KIB, index};

/// A random image, its data file, and the disk of its backing file.
struct Sample {
    plan: Builder,
    backing: Option<Vec<u8>>,
}

fn cluster_of(random: &mut Random, plan: &Builder) -> Cluster {
    let size = index(plan.cluster_size());
    let kinds = if plan.data_file.is_some() { 4 } else { 5 };
    match random.below(kinds) {
        0 => Cluster::Data(random.noise(size)),
        1 if plan.version >= 3 => Cluster::Zero,
        2 if plan.version >= 3 => Cluster::ZeroOver(random.noise(size)),
        3 if plan.extended_l2 => {
            let allocated = random.next() as u32 & random.next() as u32;
            let zero = random.next() as u32 & !allocated;
            Cluster::Subclusters { data: random.noise(size), allocated, zero }
        }
        4 => stream_of(random, plan),
        _ => Cluster::Data(random.text(size)),
    }
}

fn stream_of(random: &mut Random, plan: &Builder) -> Cluster {
    let size = index(plan.cluster_size());
    let some = index(random.below(size as u64 / 2 + 1));
    let unpacked = [random.text(some), vec![random.next() as u8; size - some]].concat();
    let stream = if plan.zstd {
        let first = Frame::new().raw(&unpacked[..some]).with_checksum().bytes();
        let second = if some < size { Frame::new().run(unpacked[size - 1], size - some).bytes() } else { Vec::new() };
        let between = if random.one_in(3) { skippable(b"pause") } else { Vec::new() };
        [first, between, second].concat()
    } else {
        compressed(&unpacked, random.pick(&[300, 4096, 32 << 10]))
    };
    if stream.len() >= size { Cluster::Data(unpacked) } else { Cluster::Compressed { stream, unpacked } }
}

fn sample(random: &mut Random) -> Sample {
    let extended = random.one_in(3);
    let cluster_bits = if extended { 14 + random.below(3) } else { 9 + random.below(8) };
    let cluster = 1u64 << cluster_bits;
    let clusters = random.below(40) + 1;
    let size = clusters * cluster - if random.one_in(2) { random.below(cluster / 512) * 512 } else { 0 };
    let mut plan = Builder::new(cluster, size);
    plan.extended_l2 = extended;
    plan.spare_l1_entries = random.below(3);
    match random.below(5) {
        0 if !extended => plan = plan.version_2(),
        1 => plan = plan.zstd(),
        2 => plan = plan.with_data_file("disk.data", random.one_in(2)),
        _ => {}
    }
    let backing = random.one_in(2).then(|| random.pick(&[size, size / 2 / 512 * 512, size + 7 * 512]));
    let backing = backing.map(|length| random.text(index(length)));
    if backing.is_some() {
        plan = plan.backed_by("base.raw", Some("raw"));
    }
    for guest in 0..clusters {
        if random.one_in(3) {
            continue;
        }
        let cluster = cluster_of(random, &plan);
        plan = plan.with(guest, cluster);
    }
    if plan.data_file.is_none() && random.one_in(3) {
        plan = with_snapshot(random, plan);
    }
    Sample { plan, backing }
}

fn with_snapshot(random: &mut Random, plan: Builder) -> Builder {
    let size = (random.below(plan.size / 512 * 2) + 1) * 512;
    let mut clusters = BTreeMap::new();
    for guest in 0..size.div_ceil(plan.cluster_size()) {
        if random.one_in(2) {
            clusters.insert(guest, cluster_of(random, &plan));
        }
    }
    plan.with_snapshot(SnapshotPlan { clusters, ..SnapshotPlan::new("1", "random", size) })
}

impl Sample {
    fn backing(&self) -> &[u8] {
        self.backing.as_deref().unwrap_or(&[])
    }

    fn contents(&self) -> Vec<u8> {
        self.plan.contents(self.backing())
    }

    /// The image over storages that `disk` makes.
    async fn open(&self, frugally: bool, disk: impl Fn(Vec<u8>) -> Disk) -> Image<Disk> {
        let built = self.plan.build();
        let base = self.backing.iter().map(|bytes| BackingFile::from(disk(bytes.clone())));
        let mut options = alone().backing(base.collect::<Vec<_>>());
        if self.plan.data_file.is_some() {
            options = options.data_file(disk(built.data));
        }
        if frugally {
            options = frugal(options);
        }
        Image::open(disk(built.bytes), options).await.unwrap()
    }
}

/// Reads all of it, and here and there, by both kinds of storage.
fn check(sample: &Sample, random: &mut Random) {
    let contents = sample.contents();
    let at_once = now(sample.open(false, Disk::of));
    assert_same(&now(whole(&at_once)).unwrap(), &contents, "the whole disk");
    let later = block_on(sample.open(true, Disk::slow));
    for (offset, length) in ranges(random, at_once.size(), 20) {
        let expected = &contents[index(offset)..index(offset + length)];
        assert_same(&now(range(&at_once, offset, length)).unwrap(), expected, "at once");
        assert_same(&block_on(range(&later, offset, length)).unwrap(), expected, "later");
    }
    check_map(&now(extents(&at_once)).unwrap(), &contents);
    for snapshot in &sample.plan.snapshots {
        let view = at_once.open_snapshot(&snapshot.id).unwrap();
        let contents = snapshot.contents(sample.plan.cluster_size(), sample.backing());
        assert_same(&now(whole(&view)).unwrap(), &contents, "the snapshot");
    }
}

/// The map covers the disk without gaps, nothing in it could be merged, and what it calls zero is zero.
fn check_map(map: &[Extent], contents: &[u8]) {
    let mut position = 0;
    for extent in map {
        assert_eq!(extent.start, position);
        assert!(extent.length > 0);
        position += extent.length;
        let bytes = &contents[index(extent.start)..index(position)];
        assert!(!extent.zero || bytes.iter().all(|byte| *byte == 0), "{extent:?}");
    }
    assert_eq!(position, contents.len() as u64);
    for pair in map.windows(2) {
        let [one, two] = pair else { continue };
        let kind = |extent: &Extent| {
            let Extent { depth, present, zero, data, compressed, offset, .. } = *extent;
            (depth, present, zero, data, compressed, offset.is_some())
        };
        let place_goes_on = one.offset.is_none_or(|offset| Some(offset + one.length) == two.offset);
        assert!(kind(one) != kind(two) || !place_goes_on, "{one:?} and {two:?} are one");
    }
}

fn seeds(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut random = Random::seeded(seed);
        let sample = sample(&mut random);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&sample, &mut random)));
        if let Err(cause) = outcome {
            let Builder { version, cluster_bits, size, extended_l2, zstd, data_file, .. } = &sample.plan;
            eprintln!("seed {seed}: version {version}, clusters of 2^{cluster_bits}, {size} bytes,");
            eprintln!("extended {extended_l2}, zstd {zstd}, data file {data_file:?}");
            std::panic::resume_unwind(cause);
        }
    }
}

#[test]
fn random_images() {
    seeds(0..250);
}

#[test]
fn more_random_images() {
    seeds(250..500);
}

/// The model and the builder are right only if QEMU says so, too.
#[test]
fn random_images_by_qemu() {
    let lab = Lab::new();
    for seed in 1000..1060 {
        let sample = sample(&mut Random::seeded(seed));
        let built = sample.plan.build();
        lab.put("random.qcow2", &built.bytes);
        lab.put("base.raw", sample.backing());
        let mut data = built.data;
        // QEMU wants the data file as long as the disk.
        data.resize(data.len().max(index(sample.plan.size.next_multiple_of(KIB * 64))), 0);
        lab.put("disk.data", &data);
        lab.check("random.qcow2");
        assert_same(&lab.contents("random.qcow2"), &sample.contents(), &format!("seed {seed}"));
    }
}
