//! Bitmaps: a bitmap that is not marked as in use covers every change since it was created, whatever a crash leaves.

use qcow2_web::{Image, Storage};

use crate::common::MIB;
use crate::common::index;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::rig::checker::check;
use crate::rig::machine::{Event, Machine};
use crate::rig::operation::Mix;
use crate::rig::replay::{Loss, Replay};
use crate::rig::setup::{BACKING, DATA, IMAGE, Setup, put};

const BITMAPS: [(&str, u64); 2] = [("fine", 512), ("coarse", 4096)];
const SECTOR: usize = 512;
const WORKLOADS: u64 = 12;

/// Some sessions on an image whose bitmaps were empty and stored before them.
struct Recorded {
    setup: Setup,
    files: Vec<Vec<u8>>,
    /// The contents of the disk when the bitmaps were empty.
    before: Vec<u8>,
    machine: Machine,
    log: Vec<Event>,
}

impl Recorded {
    fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (bits, clusters) = random.pick(&[(9, 120), (10, 40), (12, 20), (14, 8)]);
        let setup = Setup { version: 3, ..Setup::random(bits, clusters, &mut random) };
        let (machine, before) = setup.make(&mut random);
        let image = setup.open(&machine).unwrap();
        for (name, granularity) in BITMAPS {
            now(image.create_bitmap(name, Some(granularity), true)).unwrap();
        }
        now(image.close()).unwrap();
        drop(image);
        machine.take_log();
        let files = machine.files();
        let mix = Mix { reopens: u64::MAX, ..setup.mix() };
        for _ in 0..3 {
            let image = setup.open(&machine).unwrap();
            for _ in 0..6 {
                let operation = mix.pick(&mut random);
                now(operation.run(&image)).unwrap_or_else(|error| panic!("{setup:?}: {operation:?}: {error}"));
            }
            now(image.close()).unwrap();
        }
        let log = machine.take_log();
        Self { setup, files, before, machine, log }
    }

    /// Returns whether the bitmaps are in order in this state, and the disk has changed. Fails if one misses a change.
    fn examine<S: Storage + Clone>(&self, storages: &[S]) -> Result<bool, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let image = self.setup.open_storages(storages).map_err(|error| text(&error))?;
        let disk = now(whole(&image)).map_err(|error| text(&error))?;
        let infos = now(image.info()).map_err(|error| text(&error))?.bitmaps;
        let mut is_known = disk != self.before;
        for (name, _) in BITMAPS {
            let info = infos.iter().find(|info| info.name == name).ok_or_else(|| format!("{name:?} is gone"))?;
            if info.in_use {
                is_known = false;
                continue;
            }
            let marked = marks(&image, name)?;
            let pairs = disk.chunks(SECTOR).zip(self.before.chunks(SECTOR)).zip(&marked);
            if let Some(sector) = pairs.into_iter().position(|((now, before), marked)| now != before && !marked) {
                return Err(format!("{name:?} misses sector {sector}"));
            }
        }
        Ok(is_known)
    }
}

/// By sector: whether the bitmap marks it.
fn marks<S: Storage>(image: &Image<S>, name: &str) -> Result<Vec<bool>, String> {
    let mut marked = vec![false; index(image.size()).div_ceil(SECTOR)];
    let mut offset = 0;
    while offset < image.size() {
        let (ranges, next) = now(image.bitmap_extents(name, offset)).map_err(|error| error.to_string())?;
        for range in ranges {
            marked[index(range.start) / SECTOR..index(range.end).div_ceil(SECTOR)].fill(true);
        }
        offset = next;
    }
    Ok(marked)
}

#[test]
fn no_crash_leaves_a_bitmap_that_misses_a_change() {
    let (mut states, mut known) = (0, 0);
    for seed in 0..WORKLOADS {
        let recorded = Recorded::new(seed);
        let mut random = Random::seeded(seed);
        let mut replay = Replay::new(recorded.files.clone());
        let views = replay.views();
        for (position, event) in recorded.log.iter().enumerate() {
            replay.step(event);
            for loss in [Loss::OnlyUnderWay, random.pick(&Loss::RANDOM), random.pick(&Loss::RANDOM)] {
                if replay.show(loss, &mut random) {
                    let what = || format!("{:?}: event {position}, {loss:?}", recorded.setup);
                    let findings = views[IMAGE].with(check);
                    assert!(findings.problems.is_empty(), "{}: {findings}", what());
                    let found = recorded.examine(&views).unwrap_or_else(|fault| panic!("{}: {fault}", what()));
                    states += 1;
                    known += u64::from(found);
                }
                replay.restore();
            }
        }
    }
    assert!(states > 1000 && known > 20, "{states} states, {known} with bitmaps in order");
}

#[test]
fn qemu_finds_the_stored_bitmaps_in_order() {
    for seed in 0..WORKLOADS {
        let recorded = Recorded::new(seed);
        let files = recorded.machine.files();
        let machine = Machine::new(files.clone());
        let storages = [IMAGE, BACKING, DATA].map(|number| machine.file(number));
        recorded.examine(&storages).unwrap_or_else(|fault| panic!("{:?}: {fault}", recorded.setup));
        if recorded.setup.encryption.is_some() {
            continue;
        }
        let lab = Lab::new();
        put(&lab, &files);
        lab.check("image");
        let info = lab.qemu_img(&["info", "--output=json", "image"]);
        assert!(BITMAPS.iter().all(|(name, _)| info.contains(name)) && !info.contains("in-use"), "{info}");
    }
}

#[test]
fn a_bitmap_records_changes_only_while_it_is_enabled() {
    let setup = Setup::plain(16, MIB);
    let machine = setup.make_empty(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    let ranges = |name: &str| now(image.bitmap_extents(name, 0)).unwrap().0;
    now(image.create_bitmap("day", Some(1 << 16), true)).unwrap();
    now(image.write_at(5, &[1])).unwrap();
    now(image.enable_bitmap("day", false)).unwrap();
    now(image.write_at(MIB / 2, &[1])).unwrap();
    let first = 0..1 << 16;
    assert_eq!(ranges("day"), std::slice::from_ref(&first));
    now(image.enable_bitmap("day", true)).unwrap();
    now(image.discard(MIB / 2, MIB / 2)).unwrap();
    assert_eq!(ranges("day"), [first, MIB / 2..MIB]);
    now(image.clear_bitmap("day")).unwrap();
    assert_eq!(ranges("day"), []);
    now(image.delete_bitmap("day")).unwrap();
    assert!(now(image.bitmap_extents("day", 0)).is_err());
}
