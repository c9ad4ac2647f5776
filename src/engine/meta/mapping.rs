//! A guest range → runs of one kind.

use alloc::rc::Rc;

use super::host_file::{FileId, HostFile};
use super::l2_entries::L2Entries;
use super::table_cache::{Slice, SliceRef, SliceSize, TableCache};
use crate::error::{Corrupt, Error};
use crate::format::geometry::Geometry;
use crate::format::header::Header;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry, L1Table};
use crate::format::l2::{CompressedSpan, L2Entry, L2Rules};
use crate::format::units::{GuestOffset, HostOffset};
use crate::storage::Storage;

/// How many table slices one call of [`Tables::run_at`] looks at, so that it comes back soon on any image.
const SLICES_PER_CALL: u32 = 64;

/// What a piece of the disk is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// As in the backing file. A place may be allocated all the same, where other subclusters of the cluster are.
    Unallocated(Option<HostOffset>),
    /// Zeros, whether or not a place is allocated.
    Zero(Option<HostOffset>),
    /// At this place of the data file.
    Data(HostOffset),
    /// A whole cluster, or the part of one that was asked for.
    Compressed(CompressedSpan),
}

/// Consecutive guest bytes of one mapping; data at consecutive places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) length: u64,
    pub(crate) mapping: Mapping,
}

impl Run {
    /// Appends `next`, if the two are one run.
    pub(crate) fn try_extend(&mut self, next: Run) -> bool {
        let places = match (self.mapping, next.mapping) {
            (Mapping::Unallocated(place), Mapping::Unallocated(next)) | (Mapping::Zero(place), Mapping::Zero(next)) => {
                (place, next)
            }
            (Mapping::Data(place), Mapping::Data(next)) => (Some(place), Some(next)),
            // Each compressed cluster is a run of its own.
            _ => return false,
        };
        let continues = match places {
            (None, None) => true,
            (Some(place), Some(next)) => place.plus(self.length) == next,
            _ => false,
        };
        if continues {
            self.length += next.length;
        }
        continues
    }
}

/// The mapping tables of an image, over the file that holds them.
pub(crate) struct Tables {
    rules: L2Rules,
    slice_size: SliceSize,
    cache: Rc<TableCache>,
}

/// The walk for one guest offset, entry by entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    pub(crate) l1_index: u64,
    /// `None` where the L1 table doesn't reach so far.
    pub(crate) l1_entry: Option<(HostOffset, L1Entry)>,
    /// `None` where nothing is mapped.
    pub(crate) l2_table: Option<HostOffset>,
    pub(crate) l2_index: u64,
    pub(crate) l2_entry: Option<(HostOffset, L2Entry)>,
}

impl Tables {
    pub(crate) fn new(header: &Header, cache: Rc<TableCache>) -> Self {
        let geometry = header.geometry();
        let rules = L2Rules { geometry, zero_flag: header.is_version_3(), data_file: header.has_data_file() };
        Self { rules, slice_size: SliceSize::of(geometry), cache }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.rules.geometry
    }

    pub(crate) fn cache(&self) -> Rc<TableCache> {
        self.cache.clone()
    }

    /// The run that begins at `start`, of at least one byte and at most `limit`, which is not 0.
    ///
    /// The run is as long as possible, also across tables; only where it spans many slices it may be cut short.
    pub(crate) async fn run_at<S: Storage>(
        &self,
        file: &HostFile<S>,
        l1: L1Table,
        start: GuestOffset,
        limit: u64,
    ) -> Result<Run, Error<S::Error>> {
        if let Some(run) = self.held_run(file.id(), l1, start, limit)? {
            return Ok(run);
        }
        let mut run = self.run_in_slice(file, l1, start, limit).await?;
        for _ in 1..SLICES_PER_CALL {
            if run.length >= limit || matches!(run.mapping, Mapping::Compressed(_)) {
                break;
            }
            // What is before a damaged entry is fine, as in `L2Entries::run`.
            let next = match self.run_in_slice(file, l1, start.plus(run.length), limit - run.length).await {
                Err(Error::Corrupt(_)) => break,
                next => next?,
            };
            if !run.try_extend(next) {
                break;
            }
        }
        Ok(run)
    }

    /// As [`Tables::run_at`], from what is in memory; `None` where that doesn't tell all of the run.
    ///
    /// Most reads need no more than this, and a function that can't wait costs a fifth of one that can.
    pub(crate) fn held_run(
        &self,
        file: FileId,
        l1: L1Table,
        start: GuestOffset,
        limit: u64,
    ) -> Result<Option<Run>, Corrupt> {
        let Some(place) = self.l1_place(l1, start) else {
            return Ok(Some(Run { length: limit, mapping: Mapping::Unallocated(None) }));
        };
        let step = self
            .cache
            .with_held(file, self.slice_size, place, |slice, at| self.l1_step(slice, at, place, l1, start, limit));
        let run = match step.transpose()? {
            None => return Ok(None),
            Some(L1Step::Run(run)) => run,
            Some(L1Step::Entry(place)) => {
                let run = self.cache.with_held(file, self.slice_size, place, |slice, at| {
                    L2Entries { slice, at, offset: place, rules: self.rules }.run(start, limit)
                });
                match run.transpose()? {
                    None => return Ok(None),
                    Some(run) => run,
                }
            }
        };
        let whole = run.length >= limit || matches!(run.mapping, Mapping::Compressed(_));
        Ok(whole.then_some(run))
    }

    /// Where the L1 entry for `start` is, unless the table doesn't reach so far.
    fn l1_place(&self, l1: L1Table, start: GuestOffset) -> Option<HostOffset> {
        let index = self.geometry().l1_index(start);
        (index < l1.entries).then(|| l1.offset.plus(index * L1_ENTRY_SIZE))
    }

    fn l1_step(
        &self,
        slice: &Slice,
        at: usize,
        place: HostOffset,
        l1: L1Table,
        start: GuestOffset,
        limit: u64,
    ) -> Result<L1Step, Corrupt> {
        let geometry = self.geometry();
        let Some(l2_table) = self.l2_table(L1Entry(slice.word(at)), place)? else {
            let empty = count_empty(slice, at, l1.entries - geometry.l1_index(start), geometry);
            // The coverage is at most 2^39 and a slice has at most 512 entries.
            let covered = empty * geometry.l2_coverage() - start.0 % geometry.l2_coverage();
            return Ok(L1Step::Run(Run { length: covered.min(limit), mapping: Mapping::Unallocated(None) }));
        };
        Ok(L1Step::Entry(l2_table.plus(geometry.l2_index(start) * geometry.l2_entry_size())))
    }

    /// As [`Tables::run_at`], within one slice of a table.
    async fn run_in_slice<S: Storage>(
        &self,
        file: &HostFile<S>,
        l1: L1Table,
        start: GuestOffset,
        limit: u64,
    ) -> Result<Run, Error<S::Error>> {
        let Some(place) = self.l1_place(l1, start) else {
            return Ok(Run { length: limit, mapping: Mapping::Unallocated(None) });
        };
        let (slice, at) = self.slice_at(file, place).await?;
        let entry_offset = match self.l1_step(&slice, at, place, l1, start, limit)? {
            L1Step::Run(run) => return Ok(run),
            L1Step::Entry(place) => place,
        };
        let (slice, at) = self.slice_at(file, entry_offset).await?;
        let entries = L2Entries { slice: &slice, at, offset: entry_offset, rules: self.rules };
        Ok(entries.run(start, limit)?)
    }

    /// How many of the `limit` bytes at `start` can be written in place, and where: 0 where none can.
    ///
    /// Those are bytes of clusters that nothing else refers to, allocated already, side by side in the data file.
    pub(crate) async fn owned_run_at<S: Storage>(
        &self,
        file: &HostFile<S>,
        l1: L1Table,
        start: GuestOffset,
        limit: u64,
    ) -> Result<(u64, HostOffset), Error<S::Error>> {
        if let Some(run) = self.held_owned_run(file.id(), l1, start, limit)? {
            return Ok(run);
        }
        let walk = self.walk(file, l1, start).await?;
        let owned = walk.l1_entry.is_some_and(|(_, entry)| entry.is_owned());
        let Some((entry_offset, _)) = walk.l2_entry.filter(|_| owned) else {
            return Ok((0, HostOffset(0)));
        };
        let (slice, at) = self.slice_at(file, entry_offset).await?;
        let entries = L2Entries { slice: &slice, at, offset: entry_offset, rules: self.rules };
        Ok(entries.owned_run(start, limit)?)
    }

    /// As [`Tables::owned_run_at`], from what is in memory; `None` where that doesn't tell it.
    pub(crate) fn held_owned_run(
        &self,
        file: FileId,
        l1: L1Table,
        start: GuestOffset,
        limit: u64,
    ) -> Result<Option<(u64, HostOffset)>, Corrupt> {
        let nothing = Ok(Some((0, HostOffset(0))));
        let Some(place) = self.l1_place(l1, start) else {
            return nothing;
        };
        let Some(l1_entry) = self.cache.with_held(file, self.slice_size, place, |slice, at| L1Entry(slice.word(at)))
        else {
            return Ok(None);
        };
        let Some(l2_table) = self.l2_table(l1_entry, place)?.filter(|_| l1_entry.is_owned()) else {
            return nothing;
        };
        let offset = l2_table.plus(self.geometry().l2_index(start) * self.geometry().l2_entry_size());
        let run = self.cache.with_held(file, self.slice_size, offset, |slice, at| {
            L2Entries { slice, at, offset, rules: self.rules }.owned_run(start, limit)
        });
        run.transpose()
    }

    /// The length of a slice.
    pub(crate) fn slice_bytes(&self) -> usize {
        self.slice_size.bytes()
    }

    /// The slice of a table that begins at `start`.
    pub(crate) async fn slice<S: Storage>(
        &self,
        file: &HostFile<S>,
        start: HostOffset,
    ) -> Result<SliceRef, Error<S::Error>> {
        Ok(self.slice_at(file, start).await?.0)
    }

    pub(crate) fn rules(&self) -> L2Rules {
        self.rules
    }

    /// The entries that `start` goes through.
    pub(crate) async fn walk<S: Storage>(
        &self,
        file: &HostFile<S>,
        l1: L1Table,
        start: GuestOffset,
    ) -> Result<Walk, Error<S::Error>> {
        if let Some(walk) = self.held_walk(file.id(), l1, start)? {
            return Ok(walk);
        }
        let mut walk = self.walk_l1(file, l1, start).await?;
        if let Some(place) = self.l2_place(&walk) {
            let (slice, at) = self.slice_at(file, place).await?;
            self.step_l2(&mut walk, place, &slice, at);
        }
        Ok(walk)
    }

    /// As [`Tables::walk`], as far as the L1 entry tells.
    pub(crate) async fn walk_l1<S: Storage>(
        &self,
        file: &HostFile<S>,
        l1: L1Table,
        start: GuestOffset,
    ) -> Result<Walk, Error<S::Error>> {
        let mut walk = self.no_walk(start);
        if let Some(place) = self.l1_place(l1, start) {
            let (slice, at) = self.slice_at(file, place).await?;
            self.step_l1(&mut walk, place, slice.word(at))?;
        }
        Ok(walk)
    }

    /// As [`Tables::walk`], from what is in memory; `None` where that doesn't tell it.
    pub(crate) fn held_walk(&self, file: FileId, l1: L1Table, start: GuestOffset) -> Result<Option<Walk>, Corrupt> {
        let mut walk = self.no_walk(start);
        let Some(place) = self.l1_place(l1, start) else {
            return Ok(Some(walk));
        };
        let Some(word) = self.cache.with_held(file, self.slice_size, place, |slice, at| slice.word(at)) else {
            return Ok(None);
        };
        self.step_l1(&mut walk, place, word)?;
        let Some(place) = self.l2_place(&walk) else {
            return Ok(Some(walk));
        };
        let held =
            self.cache.with_held(file, self.slice_size, place, |slice, at| self.step_l2(&mut walk, place, slice, at));
        Ok(held.map(|()| walk))
    }

    fn no_walk(&self, start: GuestOffset) -> Walk {
        let (l1_index, l2_index) = (self.geometry().l1_index(start), self.geometry().l2_index(start));
        Walk { l1_index, l1_entry: None, l2_table: None, l2_index, l2_entry: None }
    }

    /// Takes in the L1 entry at `place`.
    fn step_l1(&self, walk: &mut Walk, place: HostOffset, word: u64) -> Result<(), Corrupt> {
        walk.l1_entry = Some((place, L1Entry(word)));
        walk.l2_table = self.l2_table(L1Entry(word), place)?;
        Ok(())
    }

    /// Where the L2 entry of a walk is.
    fn l2_place(&self, walk: &Walk) -> Option<HostOffset> {
        walk.l2_table.map(|table| table.plus(walk.l2_index * self.geometry().l2_entry_size()))
    }

    fn step_l2(&self, walk: &mut Walk, place: HostOffset, slice: &Slice, at: usize) {
        let entries = L2Entries { slice, at, offset: place, rules: self.rules };
        walk.l2_entry = Some((place, entries.entry(0)));
    }

    async fn slice_at<S: Storage>(
        &self,
        file: &HostFile<S>,
        offset: HostOffset,
    ) -> Result<(SliceRef, usize), Error<S::Error>> {
        self.cache.slice_at(file, self.slice_size, offset).await.map_err(Error::Storage)
    }

    fn l2_table(&self, entry: L1Entry, entry_offset: HostOffset) -> Result<Option<HostOffset>, Corrupt> {
        entry
            .l2_table(self.geometry())
            .map_err(|unaligned| Corrupt::L2TableUnaligned { entry_offset: entry_offset.0, table: unaligned.0 })
    }
}

/// What an L1 entry leads to.
enum L1Step {
    /// Where the L2 entry is.
    Entry(HostOffset),
    /// Nothing is mapped.
    Run(Run),
}

/// How many L1 entries from the one at `at` on, within the slice and the table, are empty; the first one is.
fn count_empty(slice: &Slice, at: usize, entries: u64, geometry: Geometry) -> u64 {
    let words = (at..slice.len()).step_by(8).map(|at| L1Entry(slice.word(at)));
    let empty = words.take_while(|entry| entry.l2_table(geometry) == Ok(None)).count();
    entries.min(empty as u64)
}
