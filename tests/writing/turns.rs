//! Images that are written in turns, by us and by QEMU.
//!
//! `WRITING_SEED` repeats one image.

use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now, whole};
use crate::rig::checker::check;
use crate::rig::machine::Machine;
use crate::rig::operation::{Mix, Operation, part_of};
use crate::rig::setup::{BACKING, DATA, DataFile, IMAGE, Setup, put};

const IMAGES: u64 = 30;
const TURNS: u32 = 5;
const OPERATIONS: u32 = 25;

/// An image in a folder, where QEMU finds it.
struct Table {
    setup: Setup,
    lab: Lab,
    random: Random,
    disk: Vec<u8>,
}

impl Table {
    fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (bits, clusters) = random.pick(&[(9, 150), (10, 60), (12, 30), (14, 9), (16, 6), (18, 4)]);
        // What is encrypted has its own turns, in `encrypted`.
        let setup = Setup { encryption: None, ..Setup::random(bits, clusters, &mut random) };
        let (machine, disk) = setup.make(&mut random);
        let lab = Lab::new();
        put(&lab, &machine.files());
        Self { setup, lab, random, disk }
    }

    fn play(mut self) {
        for _ in 0..TURNS {
            self.our_turn();
            self.their_turn();
        }
    }

    fn files(&self) -> Vec<Vec<u8>> {
        // The data file is there only where the image has one.
        let names = ["image", "base", "data"];
        let present = |name: &&str| self.lab.path(name).exists();
        names.iter().map(|name| if present(name) { self.lab.bytes(name) } else { Vec::new() }).collect()
    }

    fn mix(&self) -> Mix {
        Mix { reopens: u64::MAX, ..self.setup.mix() }
    }

    fn our_turn(&mut self) {
        let machine = Machine::new(self.files());
        let image = self.setup.open(&machine).unwrap();
        let mix = self.mix();
        for _ in 0..OPERATIONS {
            let operation = mix.pick(&mut self.random);
            now(operation.run(&image)).unwrap_or_else(|error| panic!("{:?}: {operation:?}: {error}", self.setup));
            let after = || part_of(&now(whole(&image)).unwrap(), &operation);
            operation.apply(&mut self.disk, after).unwrap();
        }
        now(image.close()).unwrap();
        put(&self.lab, &machine.files());
        self.lab.check("image");
        assert_same(&self.lab.contents("image"), &self.disk, &format!("{:?}: what QEMU reads", self.setup));
        if self.setup.data_file == DataFile::Raw {
            let data = &machine.files()[DATA];
            assert_same(&data[..self.disk.len()], &self.disk, &format!("{:?}: the raw data file", self.setup));
        }
        assert!(machine.files()[BACKING] == self.lab.bytes("base"), "the backing file is only read");
    }

    fn their_turn(&mut self) {
        let mix = Mix { compressed: false, ..self.mix() };
        let unit = mix.cluster_size;
        let mut commands: Vec<_> = (0..OPERATIONS).map(|_| command(&mix.pick(&mut self.random))).collect();
        // QEMU compresses only what has no cluster, and in version 2 there may be no way to give one back. And only at
        // the end: QEMU 10.0 packs streams into a cluster that it has freed, and given to data since.
        let clusters = self.random.below(mix.size / unit / 2);
        if self.mix().compressed && self.setup.version == 3 && clusters > 0 {
            let (offset, length) = (self.random.below(mix.size / unit - clusters + 1) * unit, clusters * unit);
            commands.push(format!("write -q -z -u {offset} {length}"));
            commands.push(format!("write -q -c -P 99 {offset} {length}"));
        }
        self.lab.io("image", &commands);
        self.lab.check("image");
        self.disk = self.lab.contents("image");
        let machine = Machine::new(self.files());
        let findings = machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!(findings.exit_code(), 0, "{:?}: after QEMU: {findings}", self.setup);
        let image = self.setup.open(&machine).unwrap();
        assert_same(&now(whole(&image)).unwrap(), &self.disk, &format!("{:?}: what we read", self.setup));
    }
}

/// As qemu-io says it.
fn command(operation: &Operation) -> String {
    match operation {
        Operation::Write { offset, length, seed } | Operation::Compressed { offset, length, seed } => {
            format!("write -q -P {} {offset} {length}", seed % 255 + 1)
        }
        Operation::Zeroes { offset, length, unmap: true } => format!("write -q -z -u {offset} {length}"),
        Operation::Zeroes { offset, length, unmap: false } => format!("write -q -z {offset} {length}"),
        Operation::Discard { offset, length } => format!("discard -q {offset} {length}"),
        // The nearest that QEMU has.
        Operation::CopyUp { offset, length } => format!("read -q {offset} {length}"),
        Operation::Compact { .. } | Operation::Flush | Operation::Reopen { .. } => "flush".into(),
    }
}

#[test]
fn images_written_in_turns() {
    let only: Option<u64> = std::env::var("WRITING_SEED").ok().map(|seed| seed.parse().expect("a number"));
    for seed in only.map_or(0..IMAGES, |seed| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(|| Table::new(seed).play());
        if let Err(cause) = outcome {
            eprintln!("the image that failed: WRITING_SEED={seed}");
            std::panic::resume_unwind(cause);
        }
    }
}
