//! A valid image, cut at every length and with every byte changed: never a panic, and what is read is what QEMU reads,
//! or an error.

use qcow2_web::Image;

use crate::common::KIB;
use crate::common::builder::{Builder, Built, Cluster, SnapshotPlan, extension, field};
use crate::common::deflate::compressed;
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{DiskError, alone, assert_same, extents, now, range, whole};
use crate::common::zstd::Frame;
use qcow2_web::{WithoutBacking, inspect};

const CLUSTER: u64 = 512;
const SIZE: u64 = 96 * KIB;

/// Every kind of thing that an image has, within little more than 64 KiB.
fn plan() -> Builder {
    let mut random = Random::seeded(1);
    let unpacked = random.text(512);
    let stream = compressed(&unpacked, 4096);
    let snapshot = SnapshotPlan::new("1", "taken", SIZE).with(9, Cluster::Data(vec![9; 512]));
    let feature = [&[0, 9][..], b"a feature", &[0; 37]].concat();
    let mut plan = Builder::new(CLUSTER, SIZE)
        .with_extension(extension::FEATURE_NAMES, feature)
        .with_extension(0x0dd_ba11, *b"unknown")
        .with_snapshot(snapshot)
        .with(1, Cluster::Zero)
        .with(2, Cluster::ZeroOver(vec![0xdd; 512]))
        .with(3, Cluster::Compressed { stream: stream.clone(), unpacked: unpacked.clone() })
        .with(4, Cluster::Compressed { stream, unpacked });
    for guest in (10..140).chain([190, 191]) {
        plan = plan.with(guest, Cluster::Data(random.noise(512)));
    }
    plan
}

fn plan_extended() -> Builder {
    let mut random = Random::seeded(2);
    let data = random.noise(16 << 10);
    let unpacked = [random.text(3000), vec![0; (16 << 10) - 3000]].concat();
    let stream = Frame::new().raw(&unpacked[..3000]).run(0, (16 << 10) - 3000).bytes();
    Builder::new(16 * KIB, 512 * KIB)
        .extended()
        .zstd()
        .with(0, Cluster::Data(data.clone()))
        .with(1, Cluster::Subclusters { data, allocated: 0x0f0f_1234, zero: 0x7000_8000 })
        .with(2, Cluster::Compressed { stream, unpacked })
}

/// Everything that can be asked of an image, whatever it answers.
fn ask_everything(disk: &Disk) -> Result<Vec<u8>, DiskError> {
    now(inspect(disk)).unwrap();
    let image = now(Image::open(disk.clone(), alone().backing(WithoutBacking)))?;
    // A changed size would have the test read exbibytes.
    let readable = image.size().min(1 << 20);
    let contents = now(range(&image, 0, readable));
    let _ = now(image.info());
    if image.size() <= 1 << 20 {
        let _ = now(extents(&image));
    }
    for offset in (0..readable).step_by(16 << 10) {
        let _ = now(image.locate(offset));
    }
    for snapshot in image.snapshots().iter() {
        if let Ok(view) = image.open_snapshot(&snapshot.id) {
            let _ = now(range(&view, 0, view.size().min(1 << 20)));
            let state = view.vm_state_size().min(4096);
            let _ = now(view.read_vm_state(0, &mut vec![0; state as usize]));
        }
    }
    contents
}

#[test]
fn cut_at_every_length() {
    let image = plan().build();
    assert!(image.bytes.len() > 64 << 10);
    assert_same(&ask_everything(&Disk::of(image.bytes.clone())).unwrap(), &image.contents(&[]), "not cut");
    let whole_length = image.bytes.len();
    // Shortened rather than copied: the storage is made anew each time all the same.
    for length in (0..=64 << 10).chain(((64 << 10)..whole_length).step_by(37)) {
        let _ = ask_everything(&Disk::of(&image.bytes[..length]));
    }
}

#[test]
fn cut_images_against_qemu() {
    let image = plan().build();
    let mut random = Random::seeded(3);
    let lab = Lab::new();
    for _ in 0..120 {
        let length = random.below(image.bytes.len() as u64);
        let complaint = compare(&lab, &image.clone().truncated(length), &format!("cut at {length}"));
        assert_eq!(complaint, None, "cut at {length}");
    }
}

/// Reads the image by both sides: an error of ours, or the same contents. Gives QEMU's complaint where only we read it, and
/// don't say what is wrong with it.
fn compare(lab: &Lab, image: &Built, what: &str) -> Option<String> {
    let ours = ask_everything(&Disk::of(image.bytes.clone())).ok()?;
    lab.put("mutant.qcow2", &image.bytes);
    match lab.try_contents("mutant.qcow2") {
        Ok(theirs) => {
            assert_same(&ours, &theirs[..ours.len().min(theirs.len())], what);
            None
        }
        Err(complaint) => {
            let image = now(Image::open(Disk::of(image.bytes.clone()), alone().backing(WithoutBacking))).ok()?;
            let problems = now(image.info()).ok()?.problems;
            problems.is_empty().then_some(complaint)
        }
    }
}

/// Every byte in `places` with all its bits turned, and with one of them; and its place.
fn mutants(image: &Built, places: impl Iterator<Item = u64>) -> Vec<(u64, Built)> {
    let mut random = Random::seeded(4);
    let mut mutants = Vec::new();
    for place in places {
        for turned in [0xff, 1 << random.below(8)] {
            let mut mutant = image.clone();
            mutant.bytes[place as usize] ^= turned;
            mutants.push((place, mutant));
        }
    }
    mutants
}

/// Compares all mutants, and gives where only we read them, with QEMU's complaint.
fn compare_mutants(mutants: Vec<(u64, Built)>) -> Vec<(u64, String)> {
    let lab = Lab::new();
    let mut lenient = Vec::new();
    for (place, mutant) in mutants {
        // Sizes that would have QEMU convert terabytes are for the header's own tests.
        if mutant.u64_at(field::SIZE) <= 1 << 24 {
            let complaint = compare(&lab, &mutant, &format!("byte {place:#x}"));
            lenient.extend(complaint.map(|complaint| (place, complaint)));
        } else {
            let _ = ask_everything(&Disk::of(mutant.bytes));
        }
    }
    lenient
}

#[test]
fn every_byte_of_the_header_changed() {
    let image = plan().build();
    assert_eq!(compare_mutants(mutants(&image, 0..240)), []);
}

#[test]
fn every_byte_of_an_l1_table_changed() {
    let image = plan().build();
    assert_eq!(compare_mutants(mutants(&image, image.l1..image.l1_entry(image.l1_entries))), []);
}

#[test]
fn every_byte_of_an_l2_table_changed() {
    let image = plan().build();
    assert_eq!(compare_mutants(mutants(&image, image.l2_entry(0)..image.l2_entry(14))), []);
}

#[test]
fn every_byte_of_an_extended_l2_table_changed() {
    let image = plan_extended().build();
    assert_same(&ask_everything(&Disk::of(image.bytes.clone())).unwrap(), &image.contents(&[]), "not changed");
    assert_eq!(compare_mutants(mutants(&image, image.l2_entry(0)..image.l2_entry(4))), []);
}

#[test]
fn every_byte_of_the_snapshot_table_changed() {
    let image = plan().build();
    let entry = image.snapshot_entries[0];
    assert_eq!(compare_mutants(mutants(&image, entry..entry + 70)), []);
}

#[test]
fn every_byte_of_compressed_streams_changed() {
    // No QEMU here: its inflate and ours agree on what a stream is, but not always on how far a broken one goes.
    for image in [plan().build(), plan_extended().build()] {
        let guest = if image.hosts.contains_key(&3) { 3 } else { 2 };
        let start = image.hosts[&guest];
        for (_, mutant) in mutants(&image, start..start + 400) {
            let _ = ask_everything(&Disk::of(mutant.bytes));
        }
    }
}

#[test]
fn bytes_changed_all_over() {
    let mut random = Random::seeded(5);
    for image in [plan().build(), plan_extended().build()] {
        for _ in 0..3000 {
            let mut bytes = image.bytes.clone();
            for _ in 0..=random.below(8) {
                // Half of them among the tables, which are at the beginning.
                let limit = if random.one_in(2) { 2048 } else { bytes.len() as u64 };
                bytes[random.below(limit) as usize] ^= 1 << random.below(8);
            }
            let _ = ask_everything(&Disk::of(bytes));
        }
    }
}

#[test]
fn nothing_but_noise_behind_a_header() {
    let mut random = Random::seeded(6);
    let head = plan().build().bytes[..240].to_vec();
    for _ in 0..300 {
        let noise = random.noise(64 << 10);
        let _ = ask_everything(&Disk::of([&head[..], &noise].concat()));
    }
}

#[test]
fn a_storage_that_fails_at_any_request() {
    let bytes = plan().build().bytes;
    let contents = plan().contents(&[]);
    let disk = Disk::of(bytes);
    ask_everything(&disk).unwrap();
    let requests = disk.reads().len();
    for after in 0..=requests {
        disk.fail_after(after);
        let Ok(image) = now(Image::open(disk.clone(), alone())) else {
            continue;
        };
        // The failure may hit the reading; then the same image reads well the next time.
        let first = now(whole(&image));
        assert!(first.is_ok_and(|bytes| bytes == contents) || now(whole(&image)).unwrap() == contents);
    }
}
