//! Header extensions of an image that is open, changed while it is written.

use qcow2_web::{CreateFault, Error, HeaderChanges, Image, Misuse, Storage};

use crate::common::executor::Tasks;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now, whole};
use crate::rig::checker::check;
use crate::rig::machine::{Event, File, Landing};
use crate::rig::operation::Operation;
use crate::rig::replay::{Loss, Replay};
use crate::rig::setup::{Backing, DATA, DataFile, IMAGE, Setup, put};

const KIND: u32 = 0x6d79_6170;
const OTHER: u32 = 0x6f74_6865;

/// With and without a backing file's name behind the extensions, and both versions of the format.
fn setups() -> Vec<Setup> {
    let plain = Setup::plain(12, 100 << 12);
    let backing = Some(Backing { qcow2: true, size: 60 << 12 });
    vec![
        plain.clone(),
        Setup { backing, ..plain.clone() },
        Setup { version: 2, ..plain.clone() },
        Setup { data_file: DataFile::Plain, ..plain.clone() },
        Setup { snapshot: true, lazy_refcounts: true, ..plain },
    ]
}

fn extensions<S: Storage>(image: &Image<S>) -> Vec<(u32, u64)> {
    now(image.info()).unwrap().unknown_extensions
}

/// The data of the extension, as it is in the file.
fn data_of(bytes: &[u8], kind: u32) -> Option<Vec<u8>> {
    let area = &bytes[..4096];
    let at = area.windows(4).position(|window| window == kind.to_be_bytes())?;
    let length = u32::from_be_bytes(area[at + 4..at + 8].try_into().unwrap()) as usize;
    Some(area[at + 8..at + 8 + length].to_vec())
}

#[test]
fn an_extension_is_set_replaced_and_removed_between_writes() {
    let lab = Lab::new();
    for setup in setups() {
        let mut random = Random::seeded(3);
        let (machine, mut disk) = setup.make(&mut random);
        let image = setup.open(&machine).unwrap();
        let steps: [&[u8]; 3] = [b"short", &[7; 900], b""];
        let mut seed = 0;
        for data in steps {
            seed += 1;
            let write = Operation::Write { offset: seed * 5000, length: 9000, seed };
            now(write.run(&image)).unwrap();
            write.apply(&mut disk, Vec::new).unwrap();
            let changes = HeaderChanges::new().extension(OTHER, *b"kept").extension(KIND, data);
            now(image.change_header(&changes)).unwrap();
            let mut found = extensions(&image);
            found.sort_unstable();
            assert_eq!(found, [(KIND, data.len() as u64), (OTHER, 4)], "{setup:?}");
            machine.with_files(|files| assert_eq!(data_of(&files[IMAGE], KIND).as_deref(), Some(data)));
        }
        now(image.change_header(&HeaderChanges::new().without_extension(KIND))).unwrap();
        assert_eq!(extensions(&image), [(OTHER, 4)], "{setup:?}");
        let write = Operation::Write { offset: 100, length: 70_000, seed: 9 };
        now(write.run(&image)).unwrap();
        write.apply(&mut disk, Vec::new).unwrap();
        assert_same(&now(whole(&image)).unwrap(), &disk, "the disk");
        now(image.close()).unwrap();
        put(&lab, &machine.files());
        assert_same(&lab.contents("image"), &disk, "the disk as QEMU reads it");
        machine.with_files(|files| assert_eq!(check(&files[IMAGE]).exit_code(), 0));
    }
}

#[test]
fn a_data_file_is_renamed_while_it_is_open() {
    let lab = Lab::new();
    let setup = Setup { data_file: DataFile::Plain, ..Setup::plain(16, 1 << 20) };
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.change_header(&HeaderChanges::new().data_file_name("elsewhere.raw"))).unwrap();
    assert_eq!(now(image.info()).unwrap().data_file.as_deref(), Some("elsewhere.raw"));
    now(image.write_at(0, &[1; 512])).unwrap();
    now(image.close()).unwrap();
    put(&lab, &machine.files());
    let files = machine.files();
    lab.put("elsewhere.raw", &files[DATA]);
    lab.put("renamed.qcow2", &files[IMAGE]);
    assert_eq!(lab.info("renamed.qcow2")["format-specific"]["data"]["data-file"], "elsewhere.raw");
    assert!(lab.contents("renamed.qcow2").starts_with(&[1; 512]));
}

#[test]
fn what_cannot_be_changed_changes_nothing() {
    let setup = Setup { snapshot: true, ..Setup::plain(12, 100 << 12) };
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.flush()).unwrap();
    let before = machine.files();
    let refused = |image: &Image<File>, changes: HeaderChanges| match now(image.change_header(&changes)).unwrap_err() {
        Error::Misuse(misuse) => misuse,
        error => panic!("{error}"),
    };
    // The format's own types, and those that have no data of their own.
    for kind in [0, 0xe279_2aca, 0x6803_f857, 0x2385_2875, 0x0537_be77, 0x4441_5441] {
        assert_eq!(refused(&image, HeaderChanges::new().extension(kind, *b"data")), Misuse::KnownExtension { kind });
        assert_eq!(refused(&image, HeaderChanges::new().without_extension(kind)), Misuse::KnownExtension { kind });
    }
    assert_eq!(refused(&image, HeaderChanges::new().data_file_name("x")), Misuse::UnneededDataFile);
    let too_long = refused(&image, HeaderChanges::new().extension(KIND, vec![1; 4096]));
    assert!(matches!(too_long, Misuse::Create(CreateFault::NamesTooLong { .. })), "{too_long:?}");
    let snapshot = image.open_snapshot(&image.snapshots()[0].name.clone()).unwrap();
    assert_eq!(refused(&snapshot, HeaderChanges::new().extension(KIND, *b"data")), Misuse::ReadOnly);
    let reader = setup.open_to_read(&machine).unwrap();
    assert_eq!(refused(&reader, HeaderChanges::new().extension(KIND, *b"data")), Misuse::ReadOnly);
    assert!(machine.files() == before, "nothing was written");
    now(image.write_at(0, &[1; 512])).unwrap();
    now(image.close()).unwrap();
}

/// An image with the extension, then the changes that grow, shrink and remove it.
fn changes() -> [HeaderChanges; 4] {
    let set = |data: Vec<u8>| HeaderChanges::new().extension(KIND, data);
    [set(b"old".to_vec()), set(vec![0x77; 1200]), set(vec![0x55; 700]), HeaderChanges::new().without_extension(KIND)]
}

#[test]
fn a_crash_leaves_the_old_extensions_or_the_new_ones() {
    let mut states = 0;
    for setup in setups() {
        let mut random = Random::seeded(5);
        let (machine, _) = setup.make(&mut random);
        let image = setup.open(&machine).unwrap();
        let mut seed = 0;
        for change in changes() {
            now(image.flush()).unwrap();
            let start = machine.files();
            machine.take_log();
            seed += 1;
            // What was written before and not flushed is in the log as well.
            now(Operation::Write { offset: seed * 9000, length: 20_000, seed }.run(&image)).unwrap();
            now(image.change_header(&change)).unwrap();
            let log = machine.take_log();
            let ends = [&start, &machine.files()].map(|files| data_of(&files[IMAGE], KIND));
            let mut replay = Replay::new(start);
            let views = replay.views();
            for (position, event) in log.iter().enumerate() {
                replay.step(event);
                for loss in [&[Loss::OnlyUnderWay], &Loss::RANDOM[..], &[Loss::Torn; 8]].concat() {
                    if !matches!(event, Event::Note(_)) && replay.show(loss, &mut random) {
                        let context = || format!("{setup:?}, {change:?}, event {position}, {loss:?}");
                        let file = views[IMAGE].files().swap_remove(IMAGE);
                        let opened = setup.open_storages(&views);
                        let opened = opened.unwrap_or_else(|error| panic!("{}: {error}", context()));
                        now(whole(&opened)).unwrap_or_else(|error| panic!("{}: {error}", context()));
                        let found =
                            extensions(&opened).iter().any(|(kind, _)| *kind == KIND).then(|| data_of(&file, KIND));
                        assert!(ends.contains(&found.flatten()), "{}: neither the old nor the new", context());
                        states += 1;
                    }
                    replay.restore();
                }
            }
        }
    }
    assert!(states > 300, "{states}");
}

#[test]
fn a_change_that_is_dropped_leaves_the_old_extensions_or_the_new_ones() {
    let mut drops = 0;
    for setup in setups() {
        for landing in [Landing::Nothing, Landing::Torn(3), Landing::Everything] {
            let completes_after = |requests: &u32| drop_after(&setup, *requests, landing);
            drops += (0..100).find(completes_after).unwrap_or_else(|| panic!("{setup:?} never ends"));
        }
    }
    assert!(drops > 50, "{drops}");
}

fn drop_after(setup: &Setup, requests: u32, landing: Landing) -> bool {
    let context = || format!("{setup:?}: dropped after {requests} requests, {landing:?}");
    let mut random = Random::seeded(7);
    let (machine, mut disk) = setup.make(&mut random);
    let image = setup.open(&machine).unwrap();
    let [old, new, ..] = changes();
    now(image.change_header(&old)).unwrap();
    let write = |disk: &mut Vec<u8>, offset, seed| {
        let write = Operation::Write { offset, length: 20_000, seed };
        now(write.run(&image)).unwrap();
        write.apply(disk, Vec::new).unwrap();
    };
    write(&mut disk, 3000, 1);
    machine.hold(true);
    let completed = {
        let mut tasks = Tasks::default();
        let (image, new) = (image.clone(), new.clone());
        let done = tasks.spawn(async move { image.change_header(&new).await });
        tasks.run();
        for _ in 0..requests {
            for (id, _) in machine.waiting() {
                machine.complete(id, &mut random);
            }
            tasks.run();
        }
        tasks.cancel(0);
        done.take().is_some_and(|result| result.is_ok())
    };
    machine.hold(false);
    machine.land_dropped(landing);
    // Needs new clusters, an L2 table and the header's first sector while dropped requests may still be carried out.
    write(&mut disk, 200_000, 2);
    for id in machine.dropped() {
        machine.settle_as(id, landing);
    }
    let lengths = extensions(&image);
    assert!(lengths == [(KIND, 3)] || lengths == [(KIND, 1200)], "{}: {lengths:?}", context());
    now(image.change_header(&new)).unwrap();
    assert_eq!(extensions(&image), [(KIND, 1200)], "{}", context());
    now(image.close()).unwrap();
    assert_same(&now(whole(&image)).unwrap(), &disk, &context());
    let findings = machine.with_files(|files| check(&files[IMAGE]));
    assert_eq!(findings.exit_code(), 0, "{}: {findings}", context());
    completed
}
