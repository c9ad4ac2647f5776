//! Snapshots made, applied, renamed and deleted by us and by QEMU, in turns.

use std::ops::ControlFlow;

use qcow2_web::{Error, ResizeOptions, ZeroMode};

use super::bench::Bench;
use crate::common::KIB;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now, whole};
use crate::rig::setup::Setup;

#[test]
fn a_snapshot_of_ours_is_what_qemu_says() {
    for setup in [
        Setup::plain(16, 4 << 20),
        Setup::plain(9, 300 * KIB),
        Setup { version: 2, ..Setup::plain(12, 600 * KIB) },
        Setup { extended_l2: true, ..Setup::plain(14, 600 * KIB) },
    ] {
        let bench = Bench::new(setup);
        let size = bench.image.size();
        let first = Random::seeded(1).noise(150_000);
        now(bench.image.write_at(5000, &first)).unwrap();
        let before = now(whole(&bench.image)).unwrap();
        bench.take("before");
        bench.is_sound();
        now(bench.image.write_at(0, &Random::seeded(2).noise(70_000))).unwrap();
        now(bench.image.close()).unwrap();
        bench.is_sound();
        let after = now(whole(&bench.image)).unwrap();
        assert_same(&bench.lab.contents("image"), &after, "the disk");
        assert_same(&bench.lab.snapshot_contents("image", "before"), &before, "the snapshot, to QEMU");
        let view = bench.image.open_snapshot("before").unwrap();
        assert_same(&now(whole(&view)).unwrap(), &before, "the snapshot");
        let refused = now(bench.image.delete_snapshot("before", |_| ControlFlow::Continue(()))).unwrap_err();
        assert_eq!(refused.code(), "SNAPSHOT_IN_USE");
        assert_eq!(now(view.write_at(0, &[1])).unwrap_err().code(), "READ_ONLY", "a snapshot can't be written");
        drop(view);
        now(bench.image.apply_snapshot("1", |_| ControlFlow::Continue(()))).unwrap();
        assert_eq!(bench.image.size(), size);
        bench.is_sound();
        let view = bench.image.open_snapshot("1").unwrap();
        assert_eq!(now(bench.image.diff(&view).unwrap().next()).unwrap(), None, "nothing was written since");
        now(bench.image.write_at(5000, &[7])).unwrap();
        let mut diff = bench.image.diff(&view).unwrap();
        let found = now(diff.next()).unwrap().unwrap();
        assert!(found.start <= 5000 && 5001 <= found.start + found.length, "{found:?}");
        assert!(found.length <= bench.setup.cluster_size(), "{found:?}");
        assert_eq!(now(diff.next()).unwrap(), None);
        drop((diff, view));
        now(bench.image.apply_snapshot("1", |_| ControlFlow::Continue(()))).unwrap();
        assert_same(&now(whole(&bench.image)).unwrap(), &before, "the disk, gone back");
        now(bench.image.rename_snapshot("1", "another name")).unwrap();
        bench.is_sound();
        now(bench.image.delete_snapshot("another name", |_| ControlFlow::Continue(()))).unwrap();
        bench.is_sound();
        assert!(bench.image.snapshots().is_empty());
        assert_same(&bench.lab.contents("image"), &before, "the disk, without the snapshot");
    }
}

#[test]
fn a_disk_that_grows_and_shrinks() {
    for setup in [Setup::plain(16, 4 << 20), Setup::plain(9, 300 * KIB)] {
        let bench = Bench::new(setup);
        let noise = Random::seeded(1).noise(300_000);
        now(bench.image.write_at(0, &noise)).unwrap();
        now(bench.image.resize(100_000, &ResizeOptions::new().shrink(true))).unwrap();
        assert_eq!(bench.image.size(), 100_352);
        bench.is_sound();
        assert_same(&bench.lab.contents("image"), &noise[..100_352], "shrunk");
        now(bench.image.resize(9 << 20, &ResizeOptions::new())).unwrap();
        bench.is_sound();
        let contents = bench.lab.contents("image");
        assert_same(&contents[..100_352], &noise[..100_352], "grown");
        assert!(contents[100_352..].iter().all(|byte| *byte == 0), "grown by zeros");
        let refused = now(bench.image.resize(512, &ResizeOptions::new())).unwrap_err();
        assert!(matches!(refused, Error::Misuse(_)));
        assert_eq!(refused.code(), "WOULD_SHRINK");
    }
}

/// Version 2 has no zeros but by having nothing, so the last table has nothing left in it.
#[test]
fn a_table_without_entries_is_given_up_where_the_disk_shrinks() {
    let bench = Bench::new(Setup { version: 2, ..Setup::plain(9, 100 * KIB) });
    now(bench.image.write_at(90 * KIB, &[1; 512])).unwrap();
    now(bench.image.write_zeroes(90 * KIB, 512, ZeroMode::Unmap)).unwrap();
    now(bench.image.resize(512, &ResizeOptions::new().shrink(true))).unwrap();
    bench.is_sound();
}
