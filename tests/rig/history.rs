//! What a disk may hold after a crash: each sector as it was flushed last, or as any request since has made it.

use std::rc::Rc;

use super::machine::SECTOR;
use crate::common::index;

/// The sectors of a disk that a request has changed, and what each holds now.
pub type Changes = Vec<(usize, Rc<[u8]>)>;

/// For requests that come one after another.
pub struct History {
    /// Of each sector what it may hold, the newest last; the first is what is durable.
    sectors: Vec<Vec<Rc<[u8]>>>,
    /// Sectors of more than one version.
    changed: Vec<usize>,
}

impl History {
    /// Of a disk whose contents are durable.
    pub fn new(contents: &[u8]) -> Self {
        let sectors = contents.chunks(index(SECTOR)).map(|sector| vec![sector.into()]).collect();
        Self { sectors, changed: Vec::new() }
    }

    /// A request began that makes these changes.
    pub fn change(&mut self, changes: &Changes) {
        for (sector, bytes) in changes {
            self.sectors[*sector].push(bytes.clone());
            self.changed.push(*sector);
        }
    }

    /// All that was changed so far is durable.
    pub fn flushed(&mut self) {
        for sector in self.changed.drain(..) {
            let versions = &mut self.sectors[sector];
            versions.drain(..versions.len() - 1);
        }
    }

    /// The first sector that holds what it must not.
    pub fn first_fault(&self, contents: &[u8]) -> Option<usize> {
        let held = contents.chunks(index(SECTOR));
        held.zip(&self.sectors)
            .position(|(held, versions)| !versions.iter().rev().any(|version| **version == *held))
            .or_else(|| (contents.len().div_ceil(index(SECTOR)) != self.sectors.len()).then_some(usize::MAX))
    }

    /// How many versions that sector may have.
    pub fn versions(&self, sector: usize) -> usize {
        self.sectors.get(sector).map_or(0, Vec::len)
    }
}

/// What differs between two disks of the same length.
pub fn changes(before: &[u8], after: &[u8]) -> Changes {
    let pairs = before.chunks(index(SECTOR)).zip(after.chunks(index(SECTOR)));
    let changed = pairs.enumerate().filter(|(_, (before, after))| before != after);
    changed.map(|(sector, (_, after))| (sector, after.into())).collect()
}
