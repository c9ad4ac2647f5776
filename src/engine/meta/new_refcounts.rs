//! The reference counts as they will be after a change of the tables as a whole.
//!
//! Nothing of the old counts is changed, in memory or in the file: a block of which a count changes is copied to a free
//! cluster, and changed there. When the new counts are whole in the file, the header can be switched to them; until then
//! they can be forgotten at any moment.
//!
//! Clusters are taken only where the *old* counts say that they are free, for the old tables are still the ones that
//! the header points to.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use super::dirty_slices::Dirty;
use super::host_file::HostFile;
use super::refcounts::{Refcounts, larger_table};
use super::table_cache::SliceRef;
use crate::error::{Corrupt, Error, Misuse};
use crate::format::refcount::{RefcountPosition, TABLE_ENTRY_SIZE};
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// Refcounts that are made anew, beside those that the file points to.
///
/// Dropped before they are written, they are forgotten: see [`cancellation`](super::cancellation).
pub(super) struct NewRefcounts<'a> {
    old: &'a Refcounts,
    /// Where each block will be; 0 where there is none.
    table: RefCell<Vec<u64>>,
    /// Which blocks are copies. Only those are changed.
    copied: RefCell<Vec<bool>>,
    /// Slices of the copies.
    pub(super) dirty: Dirty,
    /// Clusters before this one are not taken any more.
    next: Cell<u64>,
    lowest_freed: Cell<u64>,
}

/// What becomes of a count.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Remove,
}

/// What is still to be done so that a block can be changed.
#[derive(Clone, Copy)]
enum Work {
    Copy(usize),
    Set { cluster: u64, count: u64 },
}

impl<'a> NewRefcounts<'a> {
    /// The same as `old`, of which nothing may be dirty.
    pub(super) fn of(old: &'a Refcounts) -> Self {
        let table = old.table.borrow().clone();
        Self {
            old,
            copied: RefCell::new(alloc::vec![false; table.len()]),
            table: RefCell::new(table),
            dirty: Dirty::default(),
            next: Cell::new(old.candidate()),
            lowest_freed: Cell::new(u64::MAX),
        }
    }

    /// Adds a reference to each of `clusters`.
    ///
    /// Fails where that is more than a count can hold, or where a cluster that somebody refers to is counted as free.
    pub(super) async fn add<S: Storage>(
        &self,
        file: &HostFile<S>,
        clusters: Range<u64>,
    ) -> Result<(), Error<S::Error>> {
        self.change(file, clusters, Change::Add).await
    }

    /// Takes a reference from each of `clusters`. A count that is 0 already stays.
    pub(super) async fn remove<S: Storage>(
        &self,
        file: &HostFile<S>,
        clusters: Range<u64>,
    ) -> Result<(), Error<S::Error>> {
        self.change(file, clusters, Change::Remove).await
    }

    /// Tells `found` the count of each of `clusters`, in order.
    pub(super) async fn get<S: Storage>(
        &self,
        file: &HostFile<S>,
        clusters: Range<u64>,
        mut found: impl FnMut(u64),
    ) -> Result<(), Error<S::Error>> {
        let mut cluster = clusters.start;
        while cluster < clusters.end {
            let end = clusters.end.min(self.old.end_of_block(cluster));
            let Some(part) = self.part(file, cluster..end).await? else {
                (cluster..end).for_each(|_| found(0));
                cluster = end;
                continue;
            };
            part.places(self.old)
                .for_each(|(word_at, place)| found(self.old.width.get(part.slice.word(word_at), place)));
            cluster = part.clusters.end;
        }
        Ok(())
    }

    /// Takes `wanted` free clusters that follow each other, each with one reference.
    pub(super) async fn allocate<S: Storage>(&self, file: &HostFile<S>, wanted: u64) -> Result<u64, Error<S::Error>> {
        let first = self.find_free(file, wanted).await?;
        for cluster in first..first + wanted {
            self.settle(file, Work::Set { cluster, count: 1 }).await?;
        }
        Ok(first)
    }

    /// Takes the clusters of the table itself, instead of those in `old` where it was.
    pub(super) async fn move_table<S: Storage>(
        &self,
        file: &HostFile<S>,
        old: Range<u64>,
    ) -> Result<Range<u64>, Error<S::Error>> {
        self.remove(file, old).await?;
        // The blocks that count the table's own clusters may make it larger.
        loop {
            let bytes = self.table_bytes();
            let clusters = bytes >> self.old.geometry.cluster_bits();
            let first = self.allocate(file, clusters).await?;
            if self.table_bytes() == bytes {
                return Ok(first..first + clusters);
            }
            self.remove(file, first..first + clusters).await?;
        }
    }

    /// How many bytes the table takes: a multiple of the cluster size.
    fn table_bytes(&self) -> u64 {
        self.table.borrow().len() as u64 * TABLE_ENTRY_SIZE
    }

    /// Behind everything that was taken.
    pub(super) fn end(&self) -> u64 {
        self.next.get()
    }

    /// The table as it is to be stored.
    pub(super) fn whole_table(&self) -> Vec<u8> {
        self.table.borrow().iter().flat_map(|block| block.to_be_bytes()).collect()
    }

    /// Whether anything is to be stored at all.
    pub(super) fn has_changed(&self) -> bool {
        self.copied.borrow().contains(&true)
    }

    /// They are the counts now: the file has them.
    pub(super) fn adopt(&self) {
        let bits = self.old.geometry.cluster_bits();
        let is_copied = self.copied.borrow();
        let mut old = self.old.table.borrow_mut();
        let new = self.table.borrow();
        let replaced = old.iter().zip(is_copied.iter()).filter(|(block, is_copied)| **is_copied && **block != 0);
        replaced
            .map(|(block, _)| block >> bits)
            .for_each(|cluster| self.old.metadata_ranges.remove(cluster..cluster + 1));
        let added = new.iter().zip(is_copied.iter()).filter(|(_, is_copied)| **is_copied);
        added.map(|(block, _)| block >> bits).for_each(|cluster| self.old.metadata_ranges.add(cluster..cluster + 1));
        old.clone_from(&new);
        self.old.stored_entries.set(new.len());
        self.old.dirty_entries.borrow_mut().clear();
        let first = self.old.first_candidate.get().min(self.lowest_freed.get());
        self.old.first_candidate.set(first);
    }

    async fn change<S: Storage>(
        &self,
        file: &HostFile<S>,
        clusters: Range<u64>,
        change: Change,
    ) -> Result<(), Error<S::Error>> {
        let mut cluster = clusters.start;
        while cluster < clusters.end {
            let index = self.old.block_index(cluster);
            let end = clusters.end.min(self.old.end_of_block(cluster));
            if self.block(index).is_none() {
                if let Change::Add = change {
                    return Err(Corrupt::Uncounted { offset: self.old.offset_of(cluster).0 }.into());
                }
                cluster = end;
                continue;
            }
            self.settle(file, Work::Copy(index)).await?;
            let Some(part) = self.part(file, cluster..end).await? else {
                continue;
            };
            for ((word_at, place), cluster) in part.places(self.old).zip(part.clusters.clone()) {
                let word = part.slice.word(word_at);
                let count = self.old.width.get(word, place);
                let count = match change {
                    Change::Add => self.incremented(cluster, count)?,
                    Change::Remove => {
                        if count == 1 {
                            self.lowest_freed.set(self.lowest_freed.get().min(cluster));
                        }
                        count.saturating_sub(1)
                    }
                };
                self.dirty.set_word(part.start, &part.slice, word_at, self.old.width.set(word, place, count));
            }
            cluster = part.clusters.end;
        }
        Ok(())
    }

    fn incremented<E>(&self, cluster: u64, count: u64) -> Result<u64, Error<E>> {
        let offset = self.old.offset_of(cluster).0;
        if count == 0 {
            return Err(Corrupt::Uncounted { offset }.into());
        }
        if count >= self.old.width.max() {
            return Err(Misuse::TooManyReferences { bits: self.old.width.bits() }.into());
        }
        Ok(count + 1)
    }

    /// Carries out `work`, and what it takes: a block that is to be changed has to be a copy, a copy has to be counted,
    /// and the block that counts it is changed by that.
    async fn settle<S: Storage>(&self, file: &HostFile<S>, work: Work) -> Result<(), Error<S::Error>> {
        if let Work::Copy(index) = work
            && self.is_copied(index)
        {
            return Ok(());
        }
        let mut stack = alloc::vec![work];
        while let Some(work) = stack.pop() {
            match work {
                Work::Copy(index) if self.is_copied(index) => {}
                Work::Copy(index) => {
                    let (old, new) = self.copy_block(file, index).await?;
                    stack.push(Work::Set { cluster: new, count: 1 });
                    stack.extend(old.map(|cluster| Work::Set { cluster, count: 0 }));
                }
                Work::Set { cluster, .. } if !self.is_copied(self.old.block_index(cluster)) => {
                    stack.push(work);
                    stack.push(Work::Copy(self.old.block_index(cluster)));
                }
                Work::Set { cluster, count } => {
                    if count == 0 {
                        self.lowest_freed.set(self.lowest_freed.get().min(cluster));
                    }
                    if let Some(part) = self.part(file, cluster..cluster + 1).await?
                        && let Some((word_at, place)) = part.places(self.old).next()
                    {
                        let changed = self.old.width.set(part.slice.word(word_at), place, count);
                        self.dirty.set_word(part.start, &part.slice, word_at, changed);
                    }
                }
            }
        }
        Ok(())
    }

    /// Copies a block, or makes an empty one where there is none; which cluster held it, and which one does now.
    async fn copy_block<S: Storage>(
        &self,
        file: &HostFile<S>,
        index: usize,
    ) -> Result<(Option<u64>, u64), Error<S::Error>> {
        self.enlarge_to(index)?;
        let new = self.find_free(file, 1).await?;
        let (old, start) = (self.block(index), self.old.offset_of(new));
        let slice_size = self.old.slice_size;
        for at in (0..self.old.geometry.cluster_size()).step_by(slice_size.bytes()) {
            let source = match old {
                Some(block) => Some(self.old.slice_at(file, block.plus(at)).await?.0),
                None => None,
            };
            let slice = self.old.cache.insert_zeroed(file.id(), slice_size, start.plus(at));
            if let Some(source) = source {
                slice.copy_from(&source);
            }
            self.dirty.add_whole(start.plus(at), &slice);
        }
        if let Some(entry) = self.table.borrow_mut().get_mut(index) {
            *entry = start.0;
        }
        if let Some(copied) = self.copied.borrow_mut().get_mut(index) {
            *copied = true;
        }
        Ok((old.map(|block| block.0 >> self.old.geometry.cluster_bits()), new))
    }

    fn enlarge_to<E>(&self, index: usize) -> Result<(), Error<E>> {
        let mut table = self.table.borrow_mut();
        if index >= table.len() {
            let length = larger_table(table.len(), index + 1, self.old.geometry).ok_or(Misuse::ImageFull)?;
            table.resize(length, 0);
            self.copied.borrow_mut().resize(length, false);
        }
        Ok(())
    }

    /// The first of `wanted` clusters that are free in the old counts, and not taken.
    async fn find_free<S: Storage>(&self, file: &HostFile<S>, wanted: u64) -> Result<u64, Error<S::Error>> {
        let first = self.old.free_run(file, self.next.get(), wanted).await?;
        self.old.check_allocatable::<Error<S::Error>>(first..first + wanted)?;
        self.next.set(first + wanted);
        Ok(first)
    }

    /// The counts of as many of `clusters`, of one block, as are in one slice; `None` where they have no block.
    async fn part<S: Storage>(
        &self,
        file: &HostFile<S>,
        clusters: Range<u64>,
    ) -> Result<Option<Part>, Error<S::Error>> {
        let Some(block) = self.block(self.old.block_index(clusters.start)) else {
            return Ok(None);
        };
        let first = self.old.position_of(clusters.start);
        let (slice, word_at) = self.old.slice_at(file, block.plus(first.word_byte)).await?;
        let (start, _) = self.old.slice_size.split(block.plus(first.word_byte));
        let end = clusters.start - self.old.index_in_word(clusters.start) + self.old.counts_in(slice.len() - word_at);
        Ok(Some(Part { slice, start, word_at, first, clusters: clusters.start..clusters.end.min(end) }))
    }

    fn block(&self, index: usize) -> Option<HostOffset> {
        self.table.borrow().get(index).copied().filter(|block| *block != 0).map(HostOffset)
    }

    fn is_copied(&self, index: usize) -> bool {
        self.copied.borrow().get(index) == Some(&true)
    }
}

impl Drop for NewRefcounts<'_> {
    fn drop(&mut self) {
        // Nobody writes them any more, unless they are written.
        self.dirty.forget();
    }
}

/// Counts that are in one slice.
struct Part {
    slice: SliceRef,
    /// Where the slice begins in the file.
    start: HostOffset,
    /// Where in the slice the word of the first count is.
    word_at: usize,
    first: RefcountPosition,
    clusters: Range<u64>,
}

impl Part {
    /// For each count the place of its word in the slice, and its place in the word.
    fn places<'a>(&'a self, counts: &'a Refcounts) -> impl Iterator<Item = (usize, RefcountPosition)> + 'a {
        self.clusters.clone().map(|cluster| {
            let place = counts.position_of(cluster);
            // Within the slice, which is small.
            (self.word_at + usize::try_from(place.word_byte - self.first.word_byte).unwrap_or(0), place)
        })
    }
}
