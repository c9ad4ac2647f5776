//! What is done with an image as a whole, beside what a guest does with its disk: and what that makes of the disk and of
//! the snapshots.

use std::ops::ControlFlow;

use qcow2_web::{CompactOptions, Error, Image, Preallocation, ResizeOptions, SnapshotOptions, StorageMut};

use super::operation::{Mix, Operation, part_of};
use super::setup::{DataFile, Setup};
use crate::common::index;
use crate::common::random::Random;
use crate::common::reading::{now, whole};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Guest(Operation),
    /// Takes a snapshot of that name, with a VM state of that length.
    Take {
        name: String,
        vm_state: u64,
        seed: u64,
    },
    Apply(String),
    Delete(String),
    Rename(String, String),
    Resize {
        size: u64,
        preallocation: Preallocation,
    },
    /// Empties the disk; there is no backing file.
    Empty,
    /// Moves clusters down and truncates the file; nothing that can be read changes.
    Compact {
        detect_zeroes: bool,
    },
}

/// What an image should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub disk: Vec<u8>,
    pub snapshots: Vec<Shot>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Shot {
    pub name: String,
    pub disk: Vec<u8>,
    pub vm_state: Vec<u8>,
}

impl std::fmt::Debug for Shot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {} + {} bytes", self.name, self.disk.len(), self.vm_state.len())
    }
}

/// Which steps there are.
#[derive(Clone, Copy, Debug)]
pub struct LifeMix {
    pub guest: Mix,
    /// One step in so many is none of the guest's.
    pub structural: u64,
    pub most_snapshots: usize,
    /// No disk becomes larger.
    pub largest: u64,
    pub resizes: bool,
    pub empties: bool,
}

impl LifeMix {
    pub fn of(setup: &Setup) -> Self {
        let most = match setup.refcount_bits {
            1 => 0,
            // The disk, and the snapshots.
            2 => 2,
            _ => 5,
        };
        Self {
            guest: setup.mix(),
            structural: 5,
            most_snapshots: if setup.data_file == DataFile::None { most } else { 0 },
            largest: setup.size * 2,
            resizes: true,
            // Then it reads as zeros.
            empties: setup.backing.is_none() && setup.data_file != DataFile::Raw,
        }
    }

    /// The next step, on an image that holds what `model` does; `number` tells the names of snapshots apart.
    pub fn pick(&self, model: &Model, version: u32, number: usize, random: &mut Random) -> Step {
        let guest = Mix { size: model.disk.len() as u64, ..self.guest };
        if !random.one_in(self.structural) {
            return Step::Guest(guest.pick(random));
        }
        let one = |random: &mut Random| random.pick(&model.snapshots).name;
        let some = !model.snapshots.is_empty();
        match random.below(13) {
            0..=3 if model.snapshots.len() < self.most_snapshots => {
                let vm_state = if random.one_in(3) { 1 + random.below(3 * self.guest.cluster_size) } else { 0 };
                Step::Take { name: format!("s{number}"), vm_state, seed: random.next() }
            }
            4 | 5 if some => Step::Apply(one(random)),
            6 | 7 if some => Step::Delete(one(random)),
            8 if some => Step::Rename(one(random), format!("r{number}")),
            10 if self.empties => Step::Empty,
            11 | 12 => Step::Compact { detect_zeroes: random.one_in(2) },
            _ if self.resizes && (version == 3 || !some) => {
                let size = (512 + random.below(self.largest)).next_multiple_of(512);
                // To its own size nothing happens at all.
                let size = if size == guest.size { size + 512 } else { size };
                let all = [Preallocation::Off, Preallocation::Off, Preallocation::Metadata, Preallocation::Full];
                Step::Resize { size, preallocation: random.pick(&all) }
            }
            _ => Step::Guest(guest.pick(random)),
        }
    }
}

impl Step {
    pub async fn run<S: StorageMut>(&self, image: &Image<S>) -> Result<(), Error<S::Error>> {
        let silent = |_| ControlFlow::Continue(());
        match self {
            Self::Guest(operation) => operation.run(image).await,
            Self::Take { name, vm_state, seed } => {
                let bytes = Random::seeded(*seed).noise(index(*vm_state));
                for (part, at) in bytes.chunks(700).zip((0..).step_by(700)) {
                    image.write_vm_state(at, part).await?;
                }
                let options = SnapshotOptions::new(name.as_str()).vm_state_size(*vm_state);
                image.create_snapshot(&options, silent).await.map(drop)
            }
            Self::Apply(name) => image.apply_snapshot(name, silent).await,
            Self::Delete(name) => image.delete_snapshot(name, silent).await,
            Self::Rename(name, new) => image.rename_snapshot(name, new).await,
            Self::Resize { size, preallocation } => {
                let options = ResizeOptions::new().shrink(true).preallocation(*preallocation);
                image.resize(*size, &options).await
            }
            Self::Empty => image.empty().await,
            Self::Compact { detect_zeroes } => {
                image.compact(CompactOptions::new().detect_zeroes(*detect_zeroes), silent).await
            }
        }
    }

    /// Whether it changes more than what the guest sees of its disk.
    pub fn is_structural(&self) -> bool {
        !matches!(self, Self::Guest(_))
    }
}

impl Model {
    pub fn new(disk: Vec<u8>) -> Self {
        Self { disk, snapshots: Vec::new() }
    }

    /// What the step makes of it; `after` is what the disk reads as.
    pub fn apply(&mut self, step: &Step, after: impl FnOnce() -> Vec<u8>) -> Result<(), String> {
        match step {
            Step::Guest(operation) => operation.apply(&mut self.disk, || part_of(&after(), operation))?,
            Step::Take { name, vm_state, seed } => self.snapshots.push(Shot {
                name: name.clone(),
                disk: self.disk.clone(),
                vm_state: Random::seeded(*seed).noise(index(*vm_state)),
            }),
            Step::Apply(name) => self.disk = self.shot(name).disk.clone(),
            Step::Delete(name) => self.snapshots.retain(|shot| shot.name != *name),
            Step::Rename(name, new) => {
                let shot = self.snapshots.iter_mut().find(|shot| shot.name == *name);
                shot.expect("it is one of them").name.clone_from(new);
            }
            Step::Resize { size, .. } => self.disk.resize(index(*size), 0),
            Step::Empty => self.disk.fill(0),
            Step::Compact { .. } => {}
        }
        Ok(())
    }

    fn shot(&self, name: &str) -> &Shot {
        self.snapshots.iter().find(|shot| shot.name == name).expect("it is one of them")
    }

    /// Whether the image has these snapshots, each with this contents.
    pub fn has_these_snapshots<S: qcow2_web::Storage>(&self, image: &Image<S>) -> Result<(), String> {
        let names = |names: Vec<String>| names.join(" ");
        let ours = names(image.snapshots().iter().map(|snapshot| snapshot.name.clone()).collect());
        let expected = names(self.snapshots.iter().map(|shot| shot.name.clone()).collect());
        if ours != expected {
            return Err(format!("the snapshots are [{ours}], but should be [{expected}]"));
        }
        for shot in &self.snapshots {
            let fault = |error: &dyn std::fmt::Display| format!("{shot:?}: {error}");
            let view = image.open_snapshot(&shot.name).map_err(|error| fault(&error))?;
            if now(whole(&view)).map_err(|error| fault(&error))? != shot.disk {
                return Err(fault(&"its disk is another"));
            }
            let mut state = vec![0xee; shot.vm_state.len()];
            now(view.read_vm_state(0, &mut state)).map_err(|error| fault(&error))?;
            if view.vm_state_size() != state.len() as u64 || state != shot.vm_state {
                return Err(fault(&"its VM state is another"));
            }
        }
        Ok(())
    }
}
