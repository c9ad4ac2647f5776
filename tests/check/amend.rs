//! Amended images, which QEMU then finds as they should be.

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{AmendOptions, BackingFormat, Verdict, amend};

use super::bases::{self, Base};
use super::findings::check_bytes;
use super::oracle::ask;
use crate::common::builder::Builder;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now};
use crate::rig::machine::{Event, Machine};
use crate::rig::replay::{Loss, Replay};

const IMAGE: &str = "amended.qcow2";
const WIDTHS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

fn amended(bytes: &[u8], options: &AmendOptions) -> Result<Vec<u8>, &'static str> {
    let storage = MemoryStorage::from(bytes.to_vec());
    let result = now(amend(&storage, options)).map_err(|error| error.code());
    let after = storage.into_bytes();
    match result {
        Ok(()) => Ok(after),
        Err(code) => {
            assert!(after == bytes, "{code}: nothing is changed");
            Err(code)
        }
    }
}

/// QEMU finds nothing wrong, and the disk is the same.
fn assert_sound(lab: &Lab, bytes: &[u8], contents: &[u8], what: &str) {
    lab.put(IMAGE, bytes);
    let said = ask(lab.folder(), IMAGE, &[]);
    assert_eq!(said.exit_code, 0, "{what}: {:?} {}", said.numbers, said.complaint);
    assert_same(&lab.contents(IMAGE), contents, what);
}

fn with_contents(lab: &Lab) -> Vec<(Base, Vec<u8>)> {
    let contents = |base: Base| {
        lab.put(IMAGE, &base.bytes);
        (base.clone(), lab.contents(IMAGE))
    };
    bases::all(lab).into_iter().map(contents).collect()
}

#[test]
fn every_refcount_width() {
    let lab = Lab::new();
    for (base, contents) in with_contents(&lab) {
        let version_2 = base.bytes[7] == 2;
        let mut bytes = base.bytes.clone();
        for bits in WIDTHS {
            let what = format!("{}, {bits} bits", base.name);
            match amended(&bytes, &AmendOptions::new().refcount_bits(bits)) {
                Ok(after) => bytes = after,
                Err(code) if version_2 => assert_eq!(code, "BAD_OPTIONS", "{what}"),
                Err(code) => {
                    // Two references at least, of a snapshot or of compressed clusters that share one.
                    assert_eq!(code, "REFCOUNT_OVERFLOW", "{what}");
                    assert!(bits < 8 && (base.name.contains("snapshot") || base.name.contains("compressed")), "{what}");
                    continue;
                }
            }
            assert_sound(&lab, &bytes, &contents, &what);
            let width = lab.info(IMAGE)["format-specific"]["data"]["refcount-bits"].as_u64();
            assert_eq!(width, Some(if version_2 { 16 } else { bits.into() }), "{what}");
        }
    }
}

#[test]
fn versions_down_and_up() {
    let lab = Lab::new();
    let mut refused = Vec::new();
    for (base, contents) in with_contents(&lab) {
        let down = match amended(&base.bytes, &AmendOptions::new().version(2)) {
            Ok(down) => down,
            Err(code) => {
                assert_eq!(code, "BAD_OPTIONS", "{}", base.name);
                refused.push(base.name);
                continue;
            }
        };
        assert_sound(&lab, &down, &contents, &format!("{}, down", base.name));
        assert_eq!(lab.info(IMAGE)["format-specific"]["data"]["compat"], "0.10", "{}", base.name);
        let up = amended(&down, &AmendOptions::new().version(3).lazy_refcounts(true)).unwrap();
        assert_sound(&lab, &up, &contents, &format!("{}, up", base.name));
        let data = &lab.info(IMAGE)["format-specific"]["data"];
        assert_eq!((&data["compat"], &data["lazy-refcounts"]), (&"1.1".into(), &true.into()), "{}", base.name);
        let eager = amended(&up, &AmendOptions::new().lazy_refcounts(false)).unwrap();
        assert_sound(&lab, &eager, &contents, &format!("{}, without lazy refcounts", base.name));
        assert_eq!(lab.info(IMAGE)["format-specific"]["data"]["lazy-refcounts"], false, "{}", base.name);
    }
    let others = ["extended", "data file", "zstd", "1 bit", "2 bits", "4 bits", "8 bits", "32 bits", "64 bits"];
    assert!(refused.iter().all(|name| others.iter().any(|other| name.starts_with(other))), "{refused:?}");
    assert_eq!(refused.len(), 11, "{refused:?}");
}

#[test]
fn another_backing_file_and_none() {
    let lab = Lab::new();
    lab.put("other.raw", &vec![0x77; 1 << 20]);
    for Base { name, bytes } in bases::all(&lab).into_iter().filter(|base| base.name != "data file") {
        let other = amended(&bytes, &AmendOptions::new().backing_file("other.raw", BackingFormat::Raw)).unwrap();
        // QEMU's own way to the same.
        lab.put(IMAGE, &bytes);
        lab.qemu_img(&["rebase", "-u", "-f", "qcow2", "-b", "other.raw", "-F", "raw", IMAGE]);
        let expected = lab.contents(IMAGE);
        lab.put(IMAGE, &other);
        assert_same(&lab.contents(IMAGE), &expected, &name);
        let info = lab.info(IMAGE);
        assert_eq!((&info["backing-filename"], &info["backing-filename-format"]), (&"other.raw".into(), &"raw".into()));
        let none = amended(&other, &AmendOptions::new().without_backing_file()).unwrap();
        lab.put(IMAGE, &none);
        assert!(lab.info(IMAGE)["backing-filename"].is_null(), "{name}");
        assert_eq!(ask(lab.folder(), IMAGE, &[]).exit_code, 0, "{name}");
    }
    let long = "n".repeat(1024);
    let image = Builder::new(512, 1 << 20).build().bytes;
    let name = |name: &str| amended(&image, &AmendOptions::new().backing_file(name, BackingFormat::Raw));
    assert_eq!(name(&long), Err("BAD_OPTIONS"));
    assert_eq!(name(&long[..500]), Err("BAD_OPTIONS"), "it doesn't fit into the first cluster");
    assert_eq!(name(""), Err("BAD_OPTIONS"));
}

#[test]
fn what_is_not_known_is_kept() {
    let mut builder = Builder::new(4096, 1 << 20).with_extension(0x1234_5678, *b"unknown").with_data(3, 7);
    builder.header_length = 120;
    let mut bytes = builder.build().bytes;
    bytes[112..120].copy_from_slice(b"and more");
    let after =
        amended(&bytes, &AmendOptions::new().backing_file("b", BackingFormat::Qcow2).refcount_bits(64)).unwrap();
    assert_eq!(after[100..120], bytes[100..120], "the header's length, its known end and its unknown one");
    let found = |bytes: &[u8]| bytes[..4096].windows(15).any(|window| window == b"\x12\x34\x56\x78\0\0\0\x07unknown");
    assert!(found(&bytes) && found(&after));
    assert_eq!(check_bytes(after).unwrap().verdict(), Verdict::Clean);
}

#[test]
fn a_data_file_is_renamed() {
    let lab = Lab::new();
    let base = bases::all(&lab).into_iter().find(|base| base.name == "data file").unwrap();
    let after = amended(&base.bytes, &AmendOptions::new().data_file_name("elsewhere.raw")).unwrap();
    lab.copy(bases::DATA, "elsewhere.raw");
    lab.put(IMAGE, &after);
    assert_eq!(lab.info(IMAGE)["format-specific"]["data"]["data-file"], "elsewhere.raw");
    let plain = Builder::new(4096, 1 << 20).build().bytes;
    assert_eq!(amended(&plain, &AmendOptions::new().data_file_name("x")), Err("UNNEEDED_DATA_FILE"));
}

#[test]
fn a_data_file_stays_raw_until_that_is_withdrawn() {
    let lab = Lab::new();
    lab.create("raw.qcow2", "data_file=raw.data,data_file_raw=on", 1 << 20);
    let bytes = lab.bytes("raw.qcow2");
    let is_raw = |bytes: &[u8]| {
        lab.put("raw.qcow2", bytes);
        lab.info("raw.qcow2")["format-specific"]["data"]["data-file-raw"].as_bool()
    };
    assert_eq!(is_raw(&amended(&bytes, &AmendOptions::new().data_file_raw(true)).unwrap()), Some(true));
    let withdrawn = amended(&bytes, &AmendOptions::new().data_file_raw(false)).unwrap();
    assert_eq!(is_raw(&withdrawn), Some(false));
    assert_eq!(amended(&withdrawn, &AmendOptions::new().data_file_raw(true)), Err("BAD_OPTIONS"));
    // Then a backing file is possible.
    let backing = AmendOptions::new().data_file_raw(false).backing_file("b", BackingFormat::Raw);
    assert!(amended(&bytes, &backing).is_ok());
    assert_eq!(amended(&bytes, &AmendOptions::new().backing_file("b", BackingFormat::Raw)), Err("BAD_OPTIONS"));
}

/// The backing file's name that QEMU finds, and its format.
fn backing_of(lab: &Lab, bytes: &[u8]) -> (Option<String>, Option<String>) {
    lab.put(IMAGE, bytes);
    let info = lab.info(IMAGE);
    let text = |key: &str| info[key].as_str().map(String::from);
    (text("backing-filename"), text("backing-filename-format"))
}

#[test]
fn a_crash_leaves_the_image_as_it_was_or_as_it_should_be() {
    let lab = Lab::new();
    lab.put("other.raw", &vec![0x77; 1 << 20]);
    let long_name = "./".repeat(500) + "other.raw";
    let changes = [
        ("version 2", AmendOptions::new().version(2)),
        ("64 bits", AmendOptions::new().refcount_bits(64)),
        ("a backing file", AmendOptions::new().backing_file("other.raw", BackingFormat::Raw)),
        ("a long name", AmendOptions::new().backing_file(&long_name, BackingFormat::Raw)),
        ("no backing file", AmendOptions::new().without_backing_file()),
    ];
    let mut states = 0;
    for (base, contents) in with_contents(&lab).into_iter().filter(|(base, _)| base.name != "dirty") {
        let mut random = Random::seeded(base.bytes.len() as u64);
        let mut bytes = base.bytes.clone();
        for (change, options) in &changes {
            let machine = Machine::new(vec![bytes.clone()]);
            if now(amend(&machine.file(0), options)).is_err() {
                continue;
            }
            let log = machine.take_log();
            let after = machine.files().remove(0);
            let (old, new) = (backing_of(&lab, &bytes), backing_of(&lab, &after));
            let mut replay = Replay::new(vec![bytes.clone()]);
            let views = replay.views();
            for (position, event) in log.iter().enumerate() {
                replay.step(event);
                for loss in [&[Loss::OnlyUnderWay], &Loss::RANDOM[..], &[Loss::Torn; 8]].concat() {
                    if !matches!(event, Event::Note(_)) && replay.show(loss, &mut random) {
                        let context = || format!("{}, {change}, event {position}, {loss:?}", base.name);
                        let state = views[0].files().remove(0);
                        let report =
                            check_bytes(state.clone()).unwrap_or_else(|error| panic!("{}: {error}", context()));
                        let harmless = report.findings.iter().all(|finding| finding.code().ends_with("_COPIED"));
                        assert!(harmless, "{}: {:?}", context(), report.findings);
                        states += 1;
                        if old != new {
                            let found = backing_of(&lab, &state);
                            assert!(found == old || found == new, "{}: {found:?}", context());
                        } else if random.one_in(60) {
                            lab.put(IMAGE, &state);
                            assert_same(&lab.contents(IMAGE), &contents, &context());
                        }
                    }
                    replay.restore();
                }
            }
            // From no name to a short one, to a long one, to none.
            if old != new {
                bytes = after;
            }
        }
    }
    assert!(states > 500, "{states}");
}

#[test]
fn a_head_without_room_beside_it() {
    let lab = Lab::new();
    let image = Builder::new(1024, 1 << 20).with_data(3, 7).build().bytes;
    let long = "n".repeat(700);
    let named = |bytes: &[u8], name: &str| amended(bytes, &AmendOptions::new().backing_file(name, BackingFormat::Raw));
    let first = named(&image, &long).unwrap();
    let second = named(&first, &"m".repeat(800)).unwrap();
    assert_eq!(backing_of(&lab, &second), (Some("m".repeat(800)), Some("raw".into())));
    let third = named(&second, "short").unwrap();
    assert_eq!(backing_of(&lab, &third), (Some("short".into()), Some("raw".into())));
    assert!(!third.windows(3).any(|window| window == b"mmm"), "nothing is left of the long name");
    assert_eq!(check_bytes(third).unwrap().verdict(), Verdict::Clean);
}
