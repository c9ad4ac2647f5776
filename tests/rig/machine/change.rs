//! What a write or a change of size does to a file, or to parts of it.

use std::ops::Range;
use std::rc::Rc;

use crate::common::index;
use crate::common::random::Random;

/// What a medium writes at once, or not at all.
pub const SECTOR: u64 = 512;

/// What a request does to its file.
#[derive(Clone, Debug)]
pub enum Change {
    Write { offset: u64, data: Rc<[u8]> },
    SetSize(u64),
}

/// How much of a write comes to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Landing {
    #[default]
    Nothing,
    /// Some of its sectors.
    Torn(u64),
    Everything,
}

impl Change {
    /// The bytes that it changes.
    pub fn range(&self) -> Range<u64> {
        match self {
            Self::Write { offset, data } => *offset..offset + data.len() as u64,
            // All that follows.
            Self::SetSize(size) => *size..u64::MAX,
        }
    }

    /// The parts of a write that one sector each holds.
    pub fn sectors(&self) -> Vec<(u64, Range<u64>)> {
        let Self::Write { .. } = self else { return Vec::new() };
        let range = self.range();
        let sectors = range.start / SECTOR..range.end.div_ceil(SECTOR);
        sectors.map(|sector| (sector, range.start.max(sector * SECTOR)..range.end.min((sector + 1) * SECTOR))).collect()
    }

    pub fn apply(&self, file: &mut Vec<u8>, landed: Landing) {
        match (landed, self) {
            (Landing::Nothing, _) => {}
            (_, Self::SetSize(size)) => file.resize(index(*size), 0),
            (Landing::Everything, Self::Write { .. }) => self.put(file, self.range()),
            (Landing::Torn(seed), Self::Write { .. }) => {
                let mut random = Random::seeded(seed);
                for (_, part) in self.sectors() {
                    if random.one_in(2) {
                        self.put(file, part);
                    }
                }
            }
        }
    }

    /// Puts that part of a write into the file.
    pub fn put(&self, file: &mut Vec<u8>, part: Range<u64>) {
        if let Self::Write { offset, data } = self {
            let end = index(part.end);
            if file.len() < end {
                file.resize(end, 0);
            }
            let source = index(part.start - offset)..index(part.end - offset);
            file[index(part.start)..end].copy_from_slice(&data[source]);
        }
    }
}

pub(super) fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}
