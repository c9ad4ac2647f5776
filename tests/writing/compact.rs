//! Compacting, with QEMU on the other side. Crashes, faults, dropped and concurrent requests are the other tests' matter:
//! compacting is among their operations.

use std::ops::ControlFlow;

use qcow2_web::{CompactOptions, Error, Image, Misuse, Progress, SnapshotOptions};

use crate::common::index;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now, whole};
use crate::rig::checker::check;
use crate::rig::life::{LifeMix, Model, Step};
use crate::rig::machine::{File, Machine};
use crate::rig::operation::{Mix, Operation};
use crate::rig::setup::{Cipher, DataFile, IMAGE, Setup, put};

fn silent(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn compact(image: &Image<File>) {
    now(image.compact(CompactOptions::new(), silent)).unwrap();
}

fn length(machine: &Machine) -> u64 {
    machine.with_files(|files| files[IMAGE].len() as u64)
}

/// Writes all of the disk, and discards every second cluster.
fn half_empty(setup: &Setup, image: &Image<File>, random: &mut Random) -> Vec<u8> {
    let mut disk = random.noise(index(setup.size));
    now(image.write_at(0, &disk)).unwrap();
    let cluster = setup.cluster_size();
    for at in (0..setup.size).step_by(index(2 * cluster)) {
        let length = cluster.min(setup.size - at);
        now(image.write_zeroes(at, length, qcow2_web::ZeroMode::Unmap)).unwrap();
        disk[index(at)..index(at + length)].fill(0);
    }
    now(image.flush()).unwrap();
    disk
}

#[test]
fn the_file_has_no_free_cluster_left() {
    let plain = Setup::plain(12, 600 << 12);
    let setups = [
        plain.clone(),
        Setup { version: 2, ..plain.clone() },
        Setup { refcount_bits: 1, ..plain.clone() },
        Setup { refcount_bits: 64, table_cache: 0, ..plain.clone() },
        Setup { encryption: Some(Cipher::LegacyAes), ..plain.clone() },
        Setup { encryption: Some(Cipher::LuksXts), ..plain },
        Setup { extended_l2: true, ..Setup::plain(14, 100 << 14) },
        Setup::plain(9, 3000 << 9),
        Setup::plain(21, 6 << 21),
    ];
    for (setup, seed) in setups.into_iter().zip(1..) {
        let what = format!("{setup:?}");
        let mut random = Random::seeded(seed);
        let machine = setup.make_empty(&mut random);
        let image = setup.open(&machine).unwrap();
        let disk = half_empty(&setup, &image, &mut random);
        let (before, gain) = (length(&machine), now(image.reclaimable()).unwrap());
        assert!(gain > setup.size / 3, "{what}: {gain} of {before} bytes");
        compact(&image);
        let after = length(&machine);
        // Refcount blocks that are not needed any more go as well.
        assert!(after <= before - gain, "{what}: {before} bytes, {gain} to gain, {after} bytes");
        assert_same(&now(whole(&image)).unwrap(), &disk, &what);
        now(image.close()).unwrap();
        assert!(now(image.reclaimable()).unwrap() < setup.cluster_size(), "{what}");
        let findings = machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!((findings.exit_code(), findings.leaks_past_end), (0, 0), "{what}: {findings}");
        let reader = setup.open_to_read(&machine).unwrap();
        assert!(now(reader.reclaimable()).unwrap() < setup.cluster_size(), "{what}: read only");
        let lab = Lab::new();
        put(&lab, &machine.files());
        if setup.encryption.is_none() {
            lab.check("image");
            assert_same(&lab.contents("image"), &disk, &format!("{what}: by QEMU"));
        }
    }
}

#[test]
fn clusters_that_snapshots_share_move_with_all_their_references() {
    for (bits, clusters) in [(12, 200), (9, 700), (16, 40)] {
        let setup = Setup::plain(bits, clusters << bits);
        let what = format!("{setup:?}");
        let mut random = Random::seeded(bits.into());
        let machine = setup.make_empty(&mut random);
        let image = setup.open(&machine).unwrap();
        let mut model = Model::new(vec![0; index(setup.size)]);
        let run = |step: Step, model: &mut Model| {
            now(step.run(&image)).unwrap();
            model.apply(&step, || now(whole(&image)).unwrap()).unwrap();
        };
        let write = |offset, length, seed| Step::Guest(Operation::Write { offset, length, seed });
        let take = |name: &str, vm_state| Step::Take { name: name.into(), vm_state, seed: 5 };
        run(write(0, setup.size / 2, 1), &mut model);
        run(take("deleted", 0), &mut model);
        run(write(0, setup.size, 2), &mut model);
        run(take("a", 5000), &mut model);
        run(write(setup.size / 4, setup.size / 4, 3), &mut model);
        run(take("b", 0), &mut model);
        run(write(setup.size - 1000, 1000, 4), &mut model);
        run(Step::Delete("deleted".into()), &mut model);
        let view = image.open_snapshot("a").unwrap();
        let (before, gain) = (length(&machine), now(image.reclaimable()).unwrap());
        compact(&image);
        let after = length(&machine);
        assert!(
            after < before && after <= before - gain + 4 * setup.cluster_size(),
            "{what}: {before} to {after}, {gain}"
        );
        assert_same(&now(whole(&image)).unwrap(), &model.disk, &what);
        // A snapshot that was open stays open.
        assert_same(&now(whole(&view)).unwrap(), &model.snapshots[0].disk, &what);
        model.has_these_snapshots(&image).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        run(write(100, setup.size / 3, 6), &mut model);
        now(image.close()).unwrap();
        let findings = machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!(findings.exit_code(), 0, "{what}: {findings}");
        let lab = Lab::new();
        put(&lab, &machine.files());
        lab.check("image");
        assert_same(&lab.contents("image"), &model.disk, &format!("{what}: by QEMU"));
        for shot in &model.snapshots {
            assert_same(&lab.snapshot_contents("image", &shot.name), &shot.disk, &format!("{what}: {shot:?} by QEMU"));
        }
    }
}

#[test]
fn compressed_clusters_of_qemu_move() {
    for options in ["cluster_size=512", "cluster_size=4k", "cluster_size=64k", "cluster_size=64k,compression_type=zstd"]
    {
        let lab = Lab::new();
        let size = 4 << 20;
        let disk = Random::seeded(3).text(size);
        lab.put("raw", &disk);
        lab.qemu_img(&["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", options, "raw", "image"]);
        let machine = Machine::new(vec![lab.bytes("image")]);
        let setup = Setup::plain(16, size as u64);
        let image = setup.open(&machine).unwrap();
        let mut disk = disk;
        let before = length(&machine);
        // The first half of the disk, and so of the file.
        now(image.write_zeroes(0, size as u64 / 2, qcow2_web::ZeroMode::Unmap)).unwrap();
        disk[..size / 2].fill(0);
        now(image.create_snapshot(&SnapshotOptions::new("s"), silent)).unwrap();
        now(image.flush()).unwrap();
        compact(&image);
        let after = length(&machine);
        let left = now(image.reclaimable()).unwrap();
        let cluster_size = now(image.info()).unwrap().cluster_size;
        assert!(after < before && left <= 2 * cluster_size, "{options}: {before} to {after} bytes, {left} left");
        assert_same(&now(whole(&image)).unwrap(), &disk, options);
        now(image.close()).unwrap();
        put(&lab, &machine.files());
        lab.check("image");
        assert_same(&lab.contents("image"), &disk, options);
        assert_same(&lab.snapshot_contents("image", "s"), &disk, options);
    }
}

#[test]
fn zeros_are_found_and_freed() {
    let whole_disk = 128 << 16;
    for setup in [Setup::plain(16, whole_disk), Setup { version: 2, ..Setup::plain(16, whole_disk) }] {
        let machine = setup.make_empty(&mut Random::seeded(1));
        let image = setup.open(&machine).unwrap();
        let mut disk = vec![0; index(whole_disk)];
        now(image.write_at(0, &disk)).unwrap();
        now(image.write_at(whole_disk / 2 - 100, &[1; 200])).unwrap();
        disk[index(whole_disk / 2 - 100)..][..200].fill(1);
        compact(&image);
        assert!(length(&machine) > whole_disk, "without a search, the zeros stay");
        let mut last = Progress { done: 0, total: 0 };
        let watch = |progress| {
            last = progress;
            ControlFlow::Continue(())
        };
        now(image.compact(CompactOptions::new().detect_zeroes(true), watch)).unwrap();
        assert!(length(&machine) <= 8 << 16, "{} bytes", length(&machine));
        assert!(last.done > 0 && last.done <= last.total, "{last:?}");
        assert_same(&now(whole(&image)).unwrap(), &disk, "zeros");
        now(image.close()).unwrap();
        let lab = Lab::new();
        put(&lab, &machine.files());
        lab.check("image");
        assert_same(&lab.contents("image"), &disk, "zeros, by QEMU");
    }
}

#[test]
fn a_compaction_can_be_cancelled_and_repeated() {
    let setup = Setup::plain(16, 200 << 16);
    let mut random = Random::seeded(2);
    let machine = setup.make_empty(&mut random);
    let image = setup.open(&machine).unwrap();
    let disk = half_empty(&setup, &image, &mut random);
    let mut calls = 0;
    let cancel = |_| {
        calls += 1;
        if calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let cancelled = now(image.compact(CompactOptions::new(), cancel));
    assert!(matches!(cancelled, Err(Error::Misuse(Misuse::Cancelled))), "{cancelled:?}");
    assert_same(&now(whole(&image)).unwrap(), &disk, "cancelled");
    compact(&image);
    assert_same(&now(whole(&image)).unwrap(), &disk, "repeated");
    now(image.close()).unwrap();
    assert!(length(&machine) < 106 << 16);
    let findings = machine.with_files(|files| check(&files[IMAGE]));
    assert_eq!(findings.exit_code(), 0, "{findings}");
}

#[test]
fn bitmaps_move_and_keep_their_bits() {
    let setup = Setup::plain(12, 600 << 12);
    let mut random = Random::seeded(4);
    let machine = setup.make_empty(&mut random);
    let image = setup.open(&machine).unwrap();
    now(image.write_at(0, &random.noise(index(setup.size)))).unwrap();
    now(image.create_bitmap("b", Some(4096), true)).unwrap();
    now(image.write_at(5 << 12, &[1; 4096])).unwrap();
    now(image.close()).unwrap();
    now(image.discard(100 << 12, 400 << 12)).unwrap();
    now(image.close()).unwrap();
    let image = setup.open(&machine).unwrap();
    let extents = || now(image.bitmap_extents("b", 0)).unwrap().0;
    let (before, bits) = (length(&machine), extents());
    assert_eq!(bits, [5 << 12..6 << 12, 100 << 12..500 << 12]);
    compact(&image);
    assert!(length(&machine) <= before - (390 << 12), "{before} to {} bytes", length(&machine));
    assert_eq!(extents(), bits);
    now(image.close()).unwrap();
    let lab = Lab::new();
    put(&lab, &machine.files());
    lab.check("image");
    let info = lab.info("image").to_string();
    assert!(info.contains(r#""name":"b""#) && !info.contains("in-use"), "{info}");
}

#[test]
fn every_kind_of_image() {
    for seed in 0..40 {
        let mut random = Random::seeded(seed);
        let (bits, clusters) = random.pick(&[(9, 300), (12, 60), (14, 20), (16, 12)]);
        let setup = Setup { snapshot: false, ..Setup::random(bits, clusters, &mut random) };
        let what = format!("seed {seed}: {setup:?}");
        let (machine, disk) = setup.make(&mut random);
        let image = setup.open(&machine).unwrap();
        let mut model = Model::new(disk);
        let mix = LifeMix { structural: 3, guest: Mix { reopens: u64::MAX, ..setup.mix() }, ..LifeMix::of(&setup) };
        for number in 0..25 {
            let step = mix.pick(&model, setup.version, number, &mut random);
            now(step.run(&image)).unwrap_or_else(|error| panic!("{what}: {step:?}: {error}"));
            model.apply(&step, || now(whole(&image)).unwrap()).unwrap();
        }
        compact(&image);
        assert_same(&now(whole(&image)).unwrap(), &model.disk, &what);
        model.has_these_snapshots(&image).unwrap_or_else(|fault| panic!("{what}: {fault}"));
        let findings = machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!((findings.exit_code(), findings.leaks_past_end), (0, 0), "{what}: {findings}");
        // All but the few tables that found no range of free clusters.
        let left = now(image.reclaimable()).unwrap();
        assert!(left <= 4 * setup.cluster_size() || setup.data_file != DataFile::None, "{what}: {left} bytes left");
    }
}
