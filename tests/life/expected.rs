//! What may be found of an image after a crash.

use qcow2_web::{Image, Storage};

use crate::common::reading::{now, whole};
use crate::rig::history::{Changes, History};
use crate::rig::life::{Model, Step};

/// The disk as one of its requests left it, and the snapshots; while a step is under way that changes the image as a
/// whole, that or what the step makes of it, and nothing in between.
pub struct Expected {
    history: History,
    model: Model,
    coming: Option<Model>,
}

impl Expected {
    /// All that `model` holds is durable.
    pub fn new(model: Model) -> Self {
        Self { history: History::new(&model.disk), model, coming: None }
    }

    /// `step` begins, which makes `after` of it and, where it is the guest's, these changes of the disk.
    pub fn begin(&mut self, step: &Step, changes: &Changes, after: &Model) {
        if step.is_structural() {
            self.coming = Some(after.clone());
        } else {
            self.history.change(changes);
            self.model = after.clone();
        }
    }

    /// The step has ended, and with it all that came before is durable.
    pub fn durable(&mut self) {
        match self.coming.take() {
            Some(after) => *self = Self::new(after),
            None => self.history.flushed(),
        }
    }

    pub fn check<S: Storage>(&self, image: &Image<S>) -> Result<(), String> {
        let contents = now(whole(image)).map_err(|error| format!("it can't be read: {error}"))?;
        let is_before = match self.history.first_fault(&contents) {
            None => self.model.has_these_snapshots(image),
            Some(sector) => Err(format!("sector {sector} of {} bytes is none of its versions", contents.len())),
        };
        let (Err(fault), Some(after)) = (&is_before, &self.coming) else {
            return is_before;
        };
        match after.has_these_snapshots(image) {
            Ok(()) if contents == after.disk => Ok(()),
            Ok(()) => Err(format!("before: {fault}; after: the disk is another")),
            Err(other) => Err(format!("before: {fault}; after: {other}")),
        }
    }
}
