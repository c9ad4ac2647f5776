//! Overlays that are emptied, as after a commit, with QEMU on the other side. Crashes and faults are the tests' of lives.

use crate::common::index;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now, whole};
use crate::rig::machine::Machine;
use crate::rig::operation::{Mix, Operation};
use crate::rig::setup::{Backing, DATA, DataFile, IMAGE, Setup, put};

const CLUSTER_BITS: u32 = 12;
const SIZE: u64 = 40 << CLUSTER_BITS;

/// Overlays with half a backing file, and with one that is twice as long.
fn overlays() -> impl Iterator<Item = Setup> {
    let backings = [(false, SIZE / 2), (true, SIZE / 2), (true, SIZE * 2)];
    backings.into_iter().flat_map(|(qcow2, size)| {
        let plain = Setup { backing: Some(Backing { qcow2, size }), ..Setup::plain(CLUSTER_BITS, SIZE) };
        let extended = Setup { cluster_bits: 14, extended_l2: true, ..plain.clone() };
        [plain, extended]
    })
}

fn shown_to_qemu(machine: &Machine, disk: &[u8], what: &str) {
    let lab = Lab::new();
    put(&lab, &machine.files());
    lab.check("image");
    assert_same(&lab.contents("image"), disk, &format!("{what}: by QEMU"));
}

#[test]
fn an_emptied_overlay_reads_as_its_backing_file_and_is_small() {
    for (setup, seed) in overlays().zip(1..) {
        let what = format!("{setup:?}");
        let mut random = Random::seeded(seed);
        let (machine, in_backing) = setup.make(&mut random);
        let fresh = machine.files()[IMAGE].len();
        let image = setup.open(&machine).unwrap();
        let mix = Mix { reopens: u64::MAX, ..setup.mix() };
        for _ in 0..20 {
            now(mix.pick(&mut random).run(&image)).unwrap();
        }
        now(image.write_at(0, &random.noise(index(SIZE)))).unwrap();
        let (full, cluster) = (machine.files()[IMAGE].len(), index(setup.cluster_size()));
        now(image.empty()).unwrap();
        assert_same(&now(whole(&image)).unwrap(), &in_backing, &what);
        let length = machine.files()[IMAGE].len();
        assert!(length <= fresh + 2 * cluster && length < full / 2, "{what}: {fresh}, {full}, {length} bytes");
        // It goes on as before.
        let mut disk = in_backing;
        let operation = Operation::Write { offset: SIZE / 3, length: 5000, seed };
        now(operation.run(&image)).unwrap();
        operation.apply(&mut disk, Vec::new).unwrap();
        assert_same(&now(whole(&image)).unwrap(), &disk, &what);
        now(image.close()).unwrap();
        shown_to_qemu(&machine, &disk, &what);
    }
}

#[test]
fn emptying_keeps_the_data_of_snapshots() {
    for (setup, seed) in overlays().zip(1..) {
        let setup = Setup { snapshot: true, ..setup };
        let what = format!("{setup:?}");
        let (machine, in_snapshot) = setup.make(&mut Random::seeded(seed));
        let image = setup.open(&machine).unwrap();
        now(image.write_at(0, &vec![7; index(SIZE)])).unwrap();
        now(image.empty()).unwrap();
        let name = image.snapshots()[0].name.clone();
        let view = image.open_snapshot(&name).unwrap();
        assert_same(&now(whole(&view)).unwrap(), &in_snapshot, &what);
        let disk = now(whole(&image)).unwrap();
        assert!(!disk.chunks(512).any(|sector| sector.iter().all(|byte| *byte == 7)), "{what}: it is empty");
        now(image.close()).unwrap();
        shown_to_qemu(&machine, &disk, &what);
    }
}

#[test]
fn emptying_clears_a_raw_data_file() {
    let setup = Setup { data_file: DataFile::Raw, ..Setup::plain(CLUSTER_BITS, SIZE) };
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.write_at(0, &vec![7; index(SIZE)])).unwrap();
    now(image.empty()).unwrap();
    let zeros = vec![0; index(SIZE)];
    assert_same(&now(whole(&image)).unwrap(), &zeros, "the image");
    now(image.close()).unwrap();
    assert_same(&machine.files()[DATA], &zeros, "its data file");
    shown_to_qemu(&machine, &zeros, "a raw data file");
}
