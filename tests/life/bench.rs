//! An image of ours, and QEMU beside it.

use std::ops::ControlFlow;

use qcow2_web::{Image, SnapshotOptions};

use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::now;
use crate::rig::checker::check;
use crate::rig::machine::{File, Machine};
use crate::rig::setup::{IMAGE, Setup, put};

/// An image, and the folder in which QEMU looks at it.
pub struct Bench {
    pub setup: Setup,
    pub machine: Machine,
    pub image: Image<File>,
    pub lab: Lab,
}

impl Bench {
    pub fn new(setup: Setup) -> Self {
        let machine = setup.make_empty(&mut Random::seeded(1));
        let image = setup.open(&machine).unwrap();
        Self { setup, machine, image, lab: Lab::new() }
    }

    pub fn take(&self, name: &str) {
        now(self.image.create_snapshot(&SnapshotOptions::new(name), |_| ControlFlow::Continue(()))).unwrap();
    }

    /// What QEMU and our own check make of the file as it is.
    #[track_caller]
    pub fn is_sound(&self) {
        let findings = self.machine.with_files(|files| check(&files[IMAGE]));
        assert_eq!(findings.exit_code(), 0, "{findings}");
        put(&self.lab, &self.machine.files());
        self.lab.check("image");
    }
}
