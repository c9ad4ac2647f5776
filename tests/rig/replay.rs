//! What a crash may leave of the files, from the record of what was asked of them.
//!
//! What was written before a flush was asked is there once the flush is done, and so is what was asked and dropped. Of what was written since, or is under
//! way, any sector may be there or not: only on one sector does a later write never come to be without an earlier one.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::rc::Rc;

use qcow2_web::Storage;

use super::machine::{Change, Event, Failure, Landing, SECTOR};
use crate::common::index;
use crate::common::random::Random;

/// The files as they would be found after a crash.
#[derive(Clone)]
pub struct View {
    files: Rc<RefCell<Vec<Vec<u8>>>>,
    number: usize,
}

pub struct Replay {
    /// What is durable.
    base: Vec<Vec<u8>>,
    volatile: Vec<Volatile>,
    flushes: Vec<Flush>,
    /// The same as `base`, but for a state that is being looked at.
    scratch: Rc<RefCell<Vec<Vec<u8>>>>,
    touched: Vec<(usize, Range<usize>)>,
    /// States of this base that were looked at.
    seen: HashSet<u64>,
}

/// A change that may be lost.
struct Volatile {
    id: u64,
    file: usize,
    change: Change,
    sectors: Vec<(u64, Range<u64>)>,
    /// How much of it landed; `None` while it is under way.
    done: Option<Landing>,
}

struct Flush {
    id: u64,
    file: usize,
    /// The changes that it makes durable.
    covers: Vec<u64>,
}

/// Which of the volatile changes a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// None is lost, but those under way.
    OnlyUnderWay,
    /// All but one are there.
    One,
    /// Only one is there.
    AllButOne,
    /// Each is there, or not.
    Some,
    /// The newest is torn.
    TornEnd,
    /// Each is there, or torn, or not.
    Torn,
}

impl Loss {
    pub const RANDOM: [Self; 5] = [Self::One, Self::AllButOne, Self::Some, Self::TornEnd, Self::Torn];
}

impl Replay {
    pub fn new(files: Vec<Vec<u8>>) -> Self {
        Self {
            scratch: Rc::new(RefCell::new(files.clone())),
            base: files,
            volatile: Vec::new(),
            flushes: Vec::new(),
            touched: Vec::new(),
            seen: HashSet::new(),
        }
    }

    /// The files of the states that are looked at.
    pub fn views(&self) -> Vec<View> {
        (0..self.base.len()).map(|number| View { files: self.scratch.clone(), number }).collect()
    }

    pub fn step(&mut self, event: &Event) {
        match event {
            Event::Asked { id, file, change } => self.volatile.push(Volatile {
                id: *id,
                file: *file,
                change: change.clone(),
                sectors: change.sectors(),
                done: None,
            }),
            Event::Done { id, landed } | Event::Settled { id, landed } => {
                if matches!(event, Event::Settled { .. }) {
                    self.flushes.iter_mut().filter(|flush| flush.id > *id).for_each(|flush| flush.covers.push(*id));
                }
                // Those that are done are in the order in which they were: two of the same bytes may have overtaken
                // each other.
                if let Some(position) = self.volatile.iter().position(|volatile| volatile.id == *id) {
                    let volatile = self.volatile.remove(position);
                    let done = self.volatile.partition_point(|volatile| volatile.done.is_some());
                    self.volatile.insert(done, Volatile { done: Some(*landed), ..volatile });
                }
            }
            Event::FlushAsked { id, file } => {
                let done = self.volatile.iter().filter(|volatile| volatile.file == *file && volatile.done.is_some());
                let covers = done.map(|volatile| volatile.id).collect();
                self.flushes.push(Flush { id: *id, file: *file, covers });
            }
            Event::FlushDone { id } => self.flushed(*id),
            Event::Note(_) => {}
        }
    }

    fn flushed(&mut self, id: u64) {
        let Some(position) = self.flushes.iter().position(|flush| flush.id == id) else { return };
        let flush = self.flushes.swap_remove(position);
        let covered: Vec<_> = (0..self.volatile.len()).filter(|number| self.is_covered(*number, &flush)).collect();
        let mut scratch = self.scratch.borrow_mut();
        for number in &covered {
            let volatile = &self.volatile[*number];
            let landed = volatile.done.unwrap_or(Landing::Nothing);
            volatile.change.apply(&mut self.base[volatile.file], landed);
            volatile.change.apply(&mut scratch[volatile.file], landed);
            self.seen.clear();
        }
        for number in covered.iter().rev() {
            self.volatile.remove(*number);
        }
    }

    /// What was overwritten by something that is durable now is not seen any more either.
    fn is_covered(&self, number: usize, flush: &Flush) -> bool {
        let covers = |volatile: &Volatile| volatile.file == flush.file && flush.covers.contains(&volatile.id);
        let range = self.volatile[number].change.range();
        let overwrites = |later: &Volatile| {
            let other = later.change.range();
            covers(later) && other.start < range.end && range.start < other.end
        };
        let (volatile, later) = (&self.volatile[number], &self.volatile[number + 1..]);
        covers(volatile) || (volatile.done.is_some() && volatile.file == flush.file && later.iter().any(overwrites))
    }

    /// Puts a state before the views, unless it was there before; [`Replay::restore`] takes it back.
    pub fn show(&mut self, loss: Loss, random: &mut Random) -> bool {
        let chosen = self.choose(loss, random);
        let mut hasher = DefaultHasher::new();
        for (volatile, landed) in self.volatile.iter().zip(&chosen).filter(|(_, landed)| landed.contains(&true)) {
            (volatile.id, landed).hash(&mut hasher);
        }
        if !self.seen.insert(hasher.finish()) {
            return false;
        }
        let mut behind = HashSet::new();
        let mut files = self.scratch.borrow_mut();
        for (volatile, landed) in self.volatile.iter().zip(&chosen) {
            let file = &mut files[volatile.file];
            if let Change::SetSize(size) = volatile.change {
                if landed[0] {
                    self.touched.push((volatile.file, index(size)..file.len().max(index(size))));
                    file.resize(index(size), 0);
                }
                continue;
            }
            for ((sector, part), landed) in volatile.sectors.iter().zip(landed) {
                let place = (volatile.file, *sector);
                let whole = part.end - part.start == SECTOR;
                if !landed || (!whole && behind.contains(&place)) {
                    behind.insert(place);
                    continue;
                }
                behind.remove(&place);
                volatile.change.put(file, part.clone());
                self.touched.push((volatile.file, index(part.start)..index(part.end)));
            }
        }
        true
    }

    pub fn restore(&mut self) {
        let mut files = self.scratch.borrow_mut();
        for (number, range) in self.touched.drain(..) {
            let (file, base) = (&mut files[number], &self.base[number]);
            file.resize(base.len(), 0);
            let range = range.start.min(base.len())..range.end.min(base.len());
            file[range.clone()].copy_from_slice(&base[range]);
        }
    }

    /// For each volatile change which of its sectors are there.
    fn choose(&self, loss: Loss, random: &mut Random) -> Vec<Vec<bool>> {
        let last = self.volatile.len().saturating_sub(1);
        let one = index(random.below(self.volatile.len() as u64));
        let choose = |(number, volatile): (usize, &Volatile)| {
            let landing = match loss {
                Loss::OnlyUnderWay if volatile.done.is_none() => Landing::Nothing,
                Loss::One if number == one => Landing::Nothing,
                Loss::AllButOne if number != one => Landing::Nothing,
                Loss::TornEnd if number == last => Landing::Torn(random.next()),
                Loss::Torn if random.one_in(2) => Landing::Torn(random.next()),
                Loss::Some | Loss::Torn if random.one_in(2) => Landing::Nothing,
                _ => Landing::Everything,
            };
            let happened = spread(volatile.done.unwrap_or(Landing::Everything), volatile.sectors.len());
            let mut landed = spread(landing, volatile.sectors.len());
            landed.iter_mut().zip(happened).for_each(|(landed, happened)| *landed &= happened);
            landed
        };
        self.volatile.iter().enumerate().map(choose).collect()
    }
}

/// As [`Change::apply`] decides which sectors land; a change of size has none, and lands or not.
fn spread(landing: Landing, sectors: usize) -> Vec<bool> {
    match landing {
        Landing::Nothing => vec![false; sectors.max(1)],
        Landing::Everything => vec![true; sectors.max(1)],
        Landing::Torn(seed) => {
            let mut random = Random::seeded(seed);
            (0..sectors.max(1)).map(|_| random.one_in(2)).collect()
        }
    }
}

impl View {
    /// Looks at the bytes of its file.
    pub fn with<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.files.borrow()[self.number])
    }

    /// All files of the state.
    pub fn files(&self) -> Vec<Vec<u8>> {
        self.files.borrow().clone()
    }
}

impl Storage for View {
    type Error = Failure;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Failure> {
        let end = index(offset).checked_add(buf.len()).ok_or(Failure::PastEnd)?;
        let files = self.files.borrow();
        buf.copy_from_slice(files[self.number].get(index(offset)..end).ok_or(Failure::PastEnd)?);
        Ok(())
    }

    async fn size(&self) -> Result<u64, Failure> {
        Ok(self.files.borrow()[self.number].len() as u64)
    }
}
