//! What changes of ranges leave behind: zeros that stay zeros, clusters that are used again, and turns for others.

use std::cell::Cell;
use std::rc::Rc;

use qcow2_web::{OpenOptions, ZeroMode};

use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::now;
use crate::rig::machine::Machine;
use crate::rig::setup::{IMAGE, Setup};

const UNIT: u64 = 64 << 10;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

fn plain(size: u64) -> (Setup, Machine) {
    let setup = Setup::plain(16, size);
    let machine = setup.make_empty(&mut Random::seeded(1));
    (setup, machine)
}

#[test]
fn zeros_stay_zeros_under_a_base_that_is_recorded_later() {
    let (setup, machine) = plain(8 * UNIT);
    let image = setup.open(&machine).unwrap();
    // A whole cluster, parts of two, and a part of one that holds data.
    now(image.write_at(6 * UNIT, &[7; 4096])).unwrap();
    for (offset, length) in [(UNIT, UNIT), (3 * UNIT - 512, 1024), (6 * UNIT + 1024, 1024)] {
        now(image.write_zeroes(offset, length, ZeroMode::KeepAllocated)).unwrap();
    }
    now(image.write_zeroes(5 * UNIT, UNIT, ZeroMode::Unmap)).unwrap();
    now(image.close()).unwrap();

    let lab = Lab::new();
    lab.put("image", &machine.files()[IMAGE]);
    lab.put("base", &vec![1; 8 * UNIT as usize]);
    lab.qemu_img(&["rebase", "-u", "-b", "base", "-F", "raw", "image"]);
    let disk = lab.contents("image");
    let is = |from: u64, to: u64, byte: u8| {
        disk[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()].iter().all(|found| *found == byte)
    };
    assert!(is(UNIT, 2 * UNIT, 0), "a whole cluster");
    assert!(is(2 * UNIT, 4 * UNIT, 0), "clusters of which parts were written as zeros, and the rest were zeros");
    assert!(is(5 * UNIT, 6 * UNIT, 0), "a cluster that was unmapped");
    assert!(is(6 * UNIT, 6 * UNIT + 1024, 7) && is(6 * UNIT + 1024, 6 * UNIT + 2048, 0), "a part of one with data");
    assert!(is(0, UNIT, 1) && is(4 * UNIT, 5 * UNIT, 1), "what was not written");
}

#[test]
fn clusters_that_were_freed_are_used_again_without_a_flush() {
    let (setup, machine) = plain(GIB);
    let image = setup.open(&machine).unwrap();
    for _ in 0..1000 {
        now(image.write_at(0, &[1; UNIT as usize])).unwrap();
        now(image.discard(0, UNIT)).unwrap();
    }
    let length = machine.with_files(|files| files[IMAGE].len() as u64);
    assert!(length <= 20 << 20, "{length} bytes for one cluster");
}

#[test]
fn discarding_an_empty_disk_looks_at_the_l1_table_alone() {
    let (setup, machine) = plain(8 * TIB);
    let image = setup.open(&machine).unwrap();
    let steps = Rc::new(Cell::new(0));
    let counted = steps.clone();
    image.set_pause(move || {
        counted.set(counted.get() + 1);
        None
    });
    let before = image.statistics();
    now(image.discard(0, 8 * TIB)).unwrap();
    assert_eq!(image.statistics().lookups, before.lookups);
    // 16,384 L1 entries, 512 in a slice.
    assert!(steps.get() <= 64, "{} steps", steps.get());
    assert_eq!(machine.with_files(|files| files[IMAGE].len() as u64) >> 20, 0, "nothing was allocated");
}

#[test]
fn a_long_change_pauses_between_its_steps_and_can_be_dropped_there() {
    let setup = Setup::plain(9, 1 << 20);
    let machine = setup.make_empty(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.write_at(0, &[1; 1 << 20])).unwrap();
    let turns = Rc::new(Cell::new(0));
    let counted = turns.clone();
    image.set_pause(move || {
        counted.set(counted.get() + 1);
        // The third turn never comes.
        (counted.get() == 3).then(|| Box::pin(std::future::pending::<()>()) as _)
    });
    assert!(qcow2_web::now_or_never(image.discard(0, 1 << 20)).is_none());
    assert_eq!(turns.get(), 3);
    let mut disk = vec![9; 1 << 20];
    now(image.read_at(0, &mut disk)).unwrap();
    let discarded = disk.iter().take_while(|byte| **byte == 0).count();
    assert!(discarded > 0 && disk[discarded..].iter().all(|byte| *byte == 1), "{discarded} bytes are discarded");
    now(image.close()).unwrap();
}

#[test]
fn a_write_to_a_shared_cluster_copies_the_subclusters_that_it_holds() {
    let lab = Lab::new();
    lab.create("ours", "extended_l2=on,cluster_size=64k", 1 << 20);
    lab.io("ours", &["write -P 1 26k 6k".into()]);
    lab.snapshot("ours", "s");
    lab.copy("ours", "theirs");
    let (offset, length) = (28 << 10, 2 << 10);
    lab.io("theirs", &[format!("write -P 2 {offset} {length}")]);
    let image = |name: &str| {
        let storage = qcow2_web::storage::MemoryStorage::from(lab.bytes(name));
        now(qcow2_web::Image::open_writable(storage, OpenOptions::new())).unwrap()
    };
    let ours = image("ours");
    now(ours.write_at(offset, &vec![2; usize::try_from(length).unwrap()])).unwrap();
    let bitmap = |image: &qcow2_web::Image<_>| now(image.locate(offset)).unwrap().l2_bitmap;
    assert_eq!((bitmap(&ours), bitmap(&image("theirs"))), (Some(0xe000), Some(0xe000)));
    let mut disk = vec![0; 1 << 20];
    now(ours.read_at(0, &mut disk)).unwrap();
    assert!(disk == lab.contents("theirs"));
}
