//! The lookup: resolves a guest offset to the run that begins there.
//!
//! [`Tables::resolve`] is the only code that goes from the L1 table to an L2 entry. It reads cached slices alone, and
//! reports the slice that is missing. [`Tables::run`] loads that slice and tries again. Reading, writing, map, locate, diff
//! and discard all resolve guest offsets by these two.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

use super::attempt::{Attempt, Pins, Stop};
use super::host_file::{FileId, HostFile};
use super::l2_entries::L2Entries;
use super::run::Run;
use super::table_cache::{SliceRef, SliceSize, TableCache};
use crate::error::{Corrupt, Error};
use crate::format::geometry::Geometry;
use crate::format::header::Header;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry, L1Table};
use crate::format::l2::{L2Entry, L2Rules};
use crate::format::units::{GuestOffset, HostOffset};
use crate::storage::Storage;

/// The most table slices that one run may span, so that a lookup returns soon on any image.
const MAX_SLICES: u32 = 64;

/// The mapping tables of an image, over the file that holds them.
pub(crate) struct Tables {
    rules: L2Rules,
    slice_size: SliceSize,
    cache: Rc<TableCache>,
    lookups: Cell<u64>,
}

/// The table entries that map a guest offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// The L1 entry and its host offset; `None` past the end of the L1 table.
    pub(crate) l1_entry: Option<(HostOffset, L1Entry)>,
    /// The host offset of the L2 table; `None` if the L1 entry has none.
    pub(crate) l2_table: Option<HostOffset>,
    /// The L2 entry and its host offset.
    pub(crate) l2_entry: Option<(HostOffset, L2Entry)>,
}

/// An L1 entry, and the L2 table that it points to.
#[derive(Clone, Copy)]
pub(crate) struct L1Step {
    /// The host offset of the entry.
    pub(crate) offset: HostOffset,
    pub(crate) entry: L1Entry,
    pub(crate) l2_table: Option<HostOffset>,
}

impl Tables {
    pub(crate) fn new(header: &Header, cache: Rc<TableCache>) -> Self {
        let geometry = header.geometry();
        let rules = L2Rules { geometry, zero_flag: header.is_version_3(), data_file: header.has_data_file() };
        Self { rules, slice_size: SliceSize::of(geometry), cache, lookups: Cell::new(0) }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.rules.geometry
    }

    pub(crate) fn rules(&self) -> L2Rules {
        self.rules
    }

    pub(crate) fn cache(&self) -> &Rc<TableCache> {
        &self.cache
    }

    pub(crate) fn slice_size(&self) -> SliceSize {
        self.slice_size
    }

    /// Returns how many runs were resolved to an L2 entry.
    pub(crate) fn lookups(&self) -> u64 {
        self.lookups.get()
    }

    /// Resolves the run at `start`, of at least one byte and at most `limit`, which is not 0, without waiting.
    ///
    /// The run ends at the end of the table slice that maps `start`, if not before.
    #[inline]
    pub(crate) fn resolve(&self, file: FileId, l1: L1Table, start: GuestOffset, limit: u64) -> Attempt<Run> {
        let Some(step) = self.l1_step(file, l1, start)? else {
            return Ok(Run::without_l2_table(limit));
        };
        let Some(l2_table) = step.l2_table else {
            return self.resolve_empty(file, l1, step, start, limit);
        };
        let offset = self.l2_entry_offset(l2_table, start);
        let run = self.entries_at(file, offset)?.run(start, limit, step.entry)?;
        self.lookups.set(self.lookups.get() + 1);
        Ok(run)
    }

    /// Completes the lookup whose first attempt returned `first`. The run is as long as possible, also across slices.
    ///
    /// Only a run that spans many slices may be shorter.
    pub(crate) async fn run<S: Storage>(
        &self,
        file: &HostFile<S>,
        l1: L1Table,
        start: GuestOffset,
        limit: u64,
        first: Attempt<Run>,
    ) -> Result<Run, Error<S::Error>> {
        let mut pins = Pins::default();
        let mut run: Option<Run> = None;
        let mut attempt = first;
        for _ in 0..2 * MAX_SLICES {
            match attempt {
                Ok(next) => match &mut run {
                    None => run = Some(next),
                    Some(run) => {
                        if !run.try_extend(next) {
                            break;
                        }
                    }
                },
                // The run before a corrupt entry is valid. The lookup that continues there reports the error.
                Err(Stop::Corrupt(_)) if run.is_some() => break,
                Err(stop) => self.cache.resume(file, self.slice_size, stop, &mut pins).await?,
            }
            let known = run.map_or(0, |run| run.length);
            if run.is_some_and(|run| !run.may_continue(limit)) {
                break;
            }
            attempt = self.resolve(file.id(), l1, start.plus(known), limit - known);
        }
        // At most two attempts miss before the first run: one misses the L1 slice, and one the L2 slice.
        Ok(run.unwrap_or(Run::without_l2_table(limit)))
    }

    /// Returns the table entries that map `start`, without waiting.
    pub(crate) fn walk(&self, file: FileId, l1: L1Table, start: GuestOffset) -> Attempt<Walk> {
        let Some(L1Step { offset, entry, l2_table }) = self.l1_step(file, l1, start)? else {
            return Ok(Walk { l1_entry: None, l2_table: None, l2_entry: None });
        };
        let l2_entry = match l2_table {
            None => None,
            Some(table) => {
                let offset = self.l2_entry_offset(table, start);
                Some((offset, self.l2_entry(file, offset)?))
            }
        };
        Ok(Walk { l1_entry: Some((offset, entry)), l2_table, l2_entry })
    }

    /// Returns `count` L2 entries from host offset `first`, or up to the end of their slice.
    pub(crate) fn l2_entries(&self, file: FileId, first: HostOffset, count: usize) -> Attempt<Vec<L2Entry>> {
        let entries = self.entries_at(file, first)?;
        Ok((0..count.min(entries.count())).map(|at| entries.entry(at)).collect())
    }

    /// Returns the L2 entry at host offset `offset`.
    pub(crate) fn l2_entry(&self, file: FileId, offset: HostOffset) -> Attempt<L2Entry> {
        Ok(self.entries_at(file, offset)?.entry(0))
    }

    /// Returns the table slice that begins at host offset `start`.
    pub(crate) async fn slice<S: Storage>(
        &self,
        file: &HostFile<S>,
        start: HostOffset,
    ) -> Result<SliceRef, Error<S::Error>> {
        Ok(self.cache.slice_at(file, self.slice_size, start).await.map_err(Error::Storage)?.0)
    }

    /// Returns the L1 entry for `start`; `None` past the end of the table.
    #[expect(clippy::inline_always, reason = "measured: without it, a lookup takes a third more")]
    #[inline(always)]
    pub(crate) fn l1_step(&self, file: FileId, l1: L1Table, start: GuestOffset) -> Attempt<Option<L1Step>> {
        let index = self.geometry().l1_index(start);
        if index >= l1.entries {
            return Ok(None);
        }
        let offset = l1.offset.plus(index * L1_ENTRY_SIZE);
        let (slice, at) = self.cache.try_slice_at(file, self.slice_size, offset)?;
        let entry = L1Entry(slice.word(at));
        let l2_table = entry
            .l2_table(self.geometry())
            .map_err(|unaligned| Corrupt::L2TableUnaligned { entry_offset: offset.0, table: unaligned.0 })?;
        Ok(Some(L1Step { offset, entry, l2_table }))
    }

    fn l2_entry_offset(&self, l2_table: HostOffset, start: GuestOffset) -> HostOffset {
        l2_table.plus(self.geometry().l2_index(start) * self.geometry().l2_entry_size())
    }

    /// Returns the L2 entries from host offset `offset` to the end of their slice.
    #[inline]
    fn entries_at(&self, file: FileId, offset: HostOffset) -> Attempt<L2Entries<'_>> {
        let (slice, at) = self.cache.try_slice_at(file, self.slice_size, offset)?;
        Ok(L2Entries { slice, at, offset, rules: self.rules })
    }

    /// Resolves the run at `start`, whose L1 entry, `step`, is empty.
    #[cold]
    fn resolve_empty(&self, file: FileId, l1: L1Table, step: L1Step, start: GuestOffset, limit: u64) -> Attempt<Run> {
        let empty = self.count_empty(file, step.offset, l1.entries - self.geometry().l1_index(start))?;
        // The coverage is at most 2^39 and a slice has at most 512 entries.
        let covered = empty * self.geometry().l2_coverage() - start.0 % self.geometry().l2_coverage();
        Ok(Run::without_l2_table(covered.min(limit)))
    }

    /// Counts the empty L1 entries from host offset `offset`, within their slice and up to `limit`.
    fn count_empty(&self, file: FileId, offset: HostOffset, limit: u64) -> Attempt<u64> {
        let (slice, at) = self.cache.try_slice_at(file, self.slice_size, offset)?;
        let words = (at..slice.len()).step_by(8).map(|at| L1Entry(slice.word(at)));
        let count = words.take_while(|entry| entry.l2_table(self.geometry()) == Ok(None)).count() as u64;
        Ok(count.min(limit))
    }
}
