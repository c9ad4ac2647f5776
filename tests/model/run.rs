//! One image, and what it should hold.

use std::panic::{AssertUnwindSafe, catch_unwind};

use qcow2_web::Image;

use crate::common::index;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::common::secret::options;
use crate::rig::life::{LifeMix, Model, Step};
use crate::rig::machine::{File, Machine};
use crate::rig::operation::{Mix, Operation, TABLE_CACHES};
use crate::rig::setup::{LUKS, Setup, put};

/// How many clusters a disk has, by the size of the clusters from 512 bytes on.
const CLUSTERS: [u64; 13] = [200, 200, 150, 100, 60, 60, 40, 30, 16, 10, 6, 4, 3];
/// Requests are not much longer, however large the clusters are.
const LONGEST: u64 = 512 << 10;
/// All of the disk is compared after so many steps.
const COMPARED: usize = 20;

/// Steps that came to something else than they should.
pub struct Failed {
    pub steps: Vec<Step>,
    pub fault: String,
}

/// The image that belongs to a seed.
pub fn setup(seed: u64) -> Setup {
    let mut random = Random::seeded(seed);
    let kind = index(seed % 13);
    let mut setup = Setup::random(9 + u32::try_from(kind).unwrap(), CLUSTERS[kind], &mut random);
    setup.snapshot = false;
    setup.table_cache = TABLE_CACHES[index(seed % 5)];
    if setup.version == 3 {
        setup.refcount_bits = 1 << (seed % 7);
    }
    if setup.encryption.is_some() && random.one_in(2) {
        setup.encryption = Some(random.pick(&LUKS));
    }
    setup
}

/// Does to the image of that seed what chance says; how many steps they were.
pub fn by_chance(seed: u64) -> Result<usize, Failed> {
    let mut random = Random::seeded(!seed);
    let mut steps = Vec::new();
    let outcome = drive(seed, |run| {
        let step =
            (steps.len() < run.length()).then(|| run.mix.pick(&run.model, run.setup.version, steps.len(), &mut random));
        steps.extend(step.clone());
        step
    });
    match outcome {
        Ok(()) => Ok(steps.len()),
        Err(fault) => Err(Failed { steps, fault }),
    }
}

/// Does these steps to the image of that seed, but for those for which there is no place without others.
pub fn repeat(seed: u64, steps: &[Step]) -> Result<(), String> {
    let mut rest = steps.iter();
    drive(seed, |run| rest.find(|step| run.has_place_for(step)).cloned())
}

/// Does one step after the other, as long as there is a next one; a panic is a fault too.
fn drive(seed: u64, mut next: impl FnMut(&Run) -> Option<Step>) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::new(seed);
        let mut number = 0;
        while let Some(step) = next(&run) {
            run.step(&step)?;
            number += 1;
            if number % COMPARED == 0 {
                run.compare()?;
            }
        }
        run.end()
    }));
    outcome.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        Err(said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).into())).unwrap_or("a panic".into()))
    })
}

struct Run {
    setup: Setup,
    mix: LifeMix,
    machine: Machine,
    image: Image<File>,
    model: Model,
}

impl Run {
    fn new(seed: u64) -> Self {
        let setup = setup(seed);
        let (machine, disk) = setup.make(&mut Random::seeded(seed));
        let image = setup.open(&machine).unwrap();
        let guest = setup.mix();
        let guest = Mix { longest: guest.longest.min(LONGEST), ..guest };
        let mix = LifeMix { guest, structural: 15, ..LifeMix::of(&setup) };
        Self { setup, mix, machine, image, model: Model::new(disk) }
    }

    /// In steps.
    fn length(&self) -> usize {
        if self.setup.cluster_bits <= 16 { 300 } else { 100 }
    }

    fn has_place_for(&self, step: &Step) -> bool {
        let has = |name: &String| self.model.snapshots.iter().any(|shot| shot.name == *name);
        match step {
            Step::Guest(operation) => {
                let size = self.model.disk.len() as u64;
                operation.range().is_none_or(|(offset, length)| offset + length <= size)
            }
            Step::Take { .. } => self.model.snapshots.len() < self.mix.most_snapshots,
            Step::Apply(name) | Step::Delete(name) | Step::Rename(name, _) => has(name),
            Step::Resize { .. } => self.setup.version == 3 || self.model.snapshots.is_empty(),
            Step::Empty | Step::Compact { .. } => true,
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        now(step.run(&self.image)).map_err(|error| format!("{step:?}: {error}"))?;
        if let Step::Guest(operation @ Operation::Discard { .. }) = step {
            self.leaves_parts_of_grains(operation)?;
        }
        self.model.apply(step, || now(whole(&self.image)).unwrap())?;
        if let Step::Guest(Operation::Reopen { table_cache }) = step {
            self.setup.table_cache = *table_cache;
            self.image = self.setup.open(&self.machine).unwrap();
        }
        Ok(())
    }

    /// A discard changes nothing of a grain, the smallest part that can be given back, of which it is not told the whole.
    fn leaves_parts_of_grains(&self, discard: &Operation) -> Result<(), String> {
        let (offset, length) = discard.range().unwrap();
        let (end, size) = (offset + length, self.model.disk.len() as u64);
        let grain = self.setup.cluster_size() / if self.setup.extended_l2 { 32 } else { 1 };
        let first = offset..offset.next_multiple_of(grain).min(end);
        let last = if end == size { end..end } else { (end / grain * grain).max(offset)..end };
        for part in [first, last] {
            let mut found = vec![0; index(part.end - part.start)];
            now(self.image.read_at(part.start, &mut found)).unwrap();
            if found != self.model.disk[index(part.start)..index(part.end)] {
                return Err(format!("{discard:?} changes something of {part:?}"));
            }
        }
        Ok(())
    }

    fn compare(&self) -> Result<(), String> {
        let disk = now(whole(&self.image)).map_err(|error| error.to_string())?;
        if disk.len() != self.model.disk.len() {
            return Err(format!("the disk has {} bytes, not {}", disk.len(), self.model.disk.len()));
        }
        let differs = disk.iter().zip(&self.model.disk).position(|(is, should)| is != should);
        differs.map_or(Ok(()), |at| Err(format!("byte {at:#x} of the disk is another")))
    }

    fn end(self) -> Result<(), String> {
        now(self.image.close()).map_err(|error| error.to_string())?;
        self.compare()?;
        self.model.has_these_snapshots(&self.image)?;
        let lab = Lab::new();
        put(&lab, &self.machine.files());
        let contents = if self.setup.encryption.is_some() {
            lab.check_encrypted("image");
            lab.decrypted(&[], &options("image"))
        } else {
            lab.check("image");
            lab.contents("image")
        };
        if contents == self.model.disk { Ok(()) } else { Err("qemu-img reads something else".into()) }
    }
}
