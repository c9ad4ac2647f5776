//! The refcounts after a restructuring of the tables.
//!
//! The old refcounts do not change, in memory or in the file. To change a refcount, its block is copied to a free cluster,
//! and the copy is changed. Once the new refcounts are complete in the file, the header can be switched to them. Until then
//! they can be discarded at any moment.
//!
//! Only clusters that are free in the *old* refcounts are allocated, because the header still points to the old tables.

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

/// New refcounts, beside those that the file points to.
///
/// They are discarded when this is dropped, unless they were adopted: see [`cancellation`](super::cancellation).
pub(super) struct NewRefcounts<'a> {
    old: &'a Refcounts,
    /// The host offset of each new refcount block; 0 where there is none.
    table: RefCell<Vec<u64>>,
    /// Whether each block is a copy. Only copies are changed.
    copied: RefCell<Vec<bool>>,
    /// Slices of the copies.
    pub(super) dirty: Dirty,
    /// No cluster before this one is allocated any more.
    next: Cell<u64>,
    lowest_freed: Cell<u64>,
}

/// A change of one reference.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Remove,
}

/// A step of [`NewRefcounts::apply`]: copy a refcount block, or set a refcount in a copy.
#[derive(Clone, Copy)]
enum Work {
    Copy(usize),
    Set { cluster: u64, refcount: u64 },
}

impl<'a> NewRefcounts<'a> {
    /// Creates refcounts that equal `old`, which must not be dirty.
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
    /// Fails if a refcount would exceed its width, or if one of the clusters, which are all in use, has refcount 0.
    pub(super) async fn add<S: Storage>(
        &self,
        file: &HostFile<S>,
        clusters: Range<u64>,
    ) -> Result<(), Error<S::Error>> {
        self.change(file, clusters, Change::Add).await
    }

    /// Removes a reference from each of `clusters`. A refcount of 0 stays 0.
    pub(super) async fn remove<S: Storage>(
        &self,
        file: &HostFile<S>,
        clusters: Range<u64>,
    ) -> Result<(), Error<S::Error>> {
        self.change(file, clusters, Change::Remove).await
    }

    /// Calls `found` with the refcount of each of `clusters`, in order.
    pub(super) async fn get<S: Storage>(
        &self,
        file: &HostFile<S>,
        clusters: Range<u64>,
        mut found: impl FnMut(u64),
    ) -> Result<(), Error<S::Error>> {
        let mut cluster = clusters.start;
        while cluster < clusters.end {
            let end = clusters.end.min(self.old.end_of_block(cluster));
            let Some(segment) = self.segment(file, cluster..end).await? else {
                (cluster..end).for_each(|_| found(0));
                cluster = end;
                continue;
            };
            segment
                .positions(self.old)
                .for_each(|(word_at, position)| found(self.old.width.get(segment.slice.word(word_at), position)));
            cluster = segment.clusters.end;
        }
        Ok(())
    }

    /// Allocates `wanted` contiguous free clusters, each with one reference, and returns the first.
    pub(super) async fn allocate<S: Storage>(&self, file: &HostFile<S>, wanted: u64) -> Result<u64, Error<S::Error>> {
        let first = self.find_free(file, wanted).await?;
        for cluster in first..first + wanted {
            self.apply(file, Work::Set { cluster, refcount: 1 }).await?;
        }
        Ok(first)
    }

    /// Allocates clusters for the refcount table itself, and frees its previous ones, `old`.
    pub(super) async fn move_table<S: Storage>(
        &self,
        file: &HostFile<S>,
        old: Range<u64>,
    ) -> Result<Range<u64>, Error<S::Error>> {
        self.remove(file, old).await?;
        // The refcount blocks of the table's own clusters may require a larger table.
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

    /// Moves the blocks at or after cluster `from` to free clusters. Drops those that count only clusters at or after
    /// `end`, which are all free.
    pub(super) async fn move_blocks<S: Storage>(
        &self,
        file: &HostFile<S>,
        from: u64,
        end: u64,
    ) -> Result<(), Error<S::Error>> {
        let count = self.old.table.borrow().len();
        for index in 0..count {
            let Some(block) = self.block(index).filter(|_| !self.is_copied(index)) else {
                continue;
            };
            let cluster = block.0 >> self.old.geometry.cluster_bits();
            if self.old.first_of_block(index as u64) >= end {
                if let Some(entry) = self.table.borrow_mut().get_mut(index) {
                    *entry = 0;
                }
                self.apply(file, Work::Set { cluster, refcount: 0 }).await?;
            } else if cluster >= from {
                self.apply(file, Work::Copy(index)).await?;
            }
        }
        Ok(())
    }

    /// Makes the table move, even if no refcount changes otherwise.
    pub(super) async fn copy_block_of<S: Storage>(
        &self,
        file: &HostFile<S>,
        cluster: u64,
    ) -> Result<(), Error<S::Error>> {
        self.apply(file, Work::Copy(self.old.block_index(cluster))).await
    }

    /// Returns the size of the table in bytes: a multiple of the cluster size.
    fn table_bytes(&self) -> u64 {
        self.table.borrow().len() as u64 * TABLE_ENTRY_SIZE
    }

    /// Returns the end of all clusters that were allocated here.
    pub(super) fn end(&self) -> u64 {
        self.next.get()
    }

    /// Returns the bytes of the new refcount table.
    pub(super) fn whole_table(&self) -> Vec<u8> {
        self.table.borrow().iter().flat_map(|block| block.to_be_bytes()).collect()
    }

    /// Returns whether anything has to be written.
    pub(super) fn has_changed(&self) -> bool {
        self.copied.borrow().contains(&true)
    }

    /// Makes these the current refcounts, after the header points to them.
    pub(super) fn adopt(&self) {
        let bits = self.old.geometry.cluster_bits();
        let mut old = self.old.table.borrow_mut();
        let new = self.table.borrow();
        let clusters = |blocks: &[u64], others: &[u64]| -> Vec<u64> {
            let others = others.iter().copied().chain(core::iter::repeat(0));
            let changed = blocks.iter().zip(others).filter(|(block, other)| **block != *other && **block != 0);
            changed.map(|(block, _)| block >> bits).collect()
        };
        let ranges = &self.old.metadata_ranges;
        for cluster in clusters(&old, &new) {
            ranges.remove(cluster..cluster + 1);
        }
        for cluster in clusters(&new, &old) {
            ranges.add(cluster..cluster + 1);
        }
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
            self.apply(file, Work::Copy(index)).await?;
            let Some(segment) = self.segment(file, cluster..end).await? else {
                continue;
            };
            for ((word_at, position), cluster) in segment.positions(self.old).zip(segment.clusters.clone()) {
                let word = segment.slice.word(word_at);
                let refcount = self.old.width.get(word, position);
                let refcount = match change {
                    Change::Add => self.incremented(cluster, refcount)?,
                    Change::Remove => {
                        if refcount == 1 {
                            self.lowest_freed.set(self.lowest_freed.get().min(cluster));
                        }
                        refcount.saturating_sub(1)
                    }
                };
                self.dirty.set_word(
                    segment.start,
                    &segment.slice,
                    word_at,
                    self.old.width.set(word, position, refcount),
                );
            }
            cluster = segment.clusters.end;
        }
        Ok(())
    }

    fn incremented<E>(&self, cluster: u64, refcount: u64) -> Result<u64, Error<E>> {
        let offset = self.old.offset_of(cluster).0;
        if refcount == 0 {
            return Err(Corrupt::Uncounted { offset }.into());
        }
        if refcount >= self.old.width.max() {
            return Err(Misuse::TooManyReferences { bits: self.old.width.bits() }.into());
        }
        Ok(refcount + 1)
    }

    /// Carries out `work` and the steps that it requires.
    ///
    /// Only a copy of a block can be changed. The cluster of a copy needs a refcount, and to set that refcount changes
    /// another block.
    async fn apply<S: Storage>(&self, file: &HostFile<S>, work: Work) -> Result<(), Error<S::Error>> {
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
                    stack.push(Work::Set { cluster: new, refcount: 1 });
                    stack.extend(old.map(|cluster| Work::Set { cluster, refcount: 0 }));
                }
                Work::Set { cluster, .. } if !self.is_copied(self.old.block_index(cluster)) => {
                    stack.push(work);
                    stack.push(Work::Copy(self.old.block_index(cluster)));
                }
                Work::Set { cluster, refcount } => {
                    if refcount == 0 {
                        self.lowest_freed.set(self.lowest_freed.get().min(cluster));
                    }
                    if let Some(segment) = self.segment(file, cluster..cluster + 1).await?
                        && let Some((word_at, position)) = segment.positions(self.old).next()
                    {
                        let changed = self.old.width.set(segment.slice.word(word_at), position, refcount);
                        self.dirty.set_word(segment.start, &segment.slice, word_at, changed);
                    }
                }
            }
        }
        Ok(())
    }

    /// Copies a refcount block, or creates an empty one. Returns the cluster of the old block, and that of the new one.
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

    /// Returns the first of `wanted` contiguous clusters that are free in the old refcounts and not allocated here.
    async fn find_free<S: Storage>(&self, file: &HostFile<S>, wanted: u64) -> Result<u64, Error<S::Error>> {
        let first = self.old.free_run(file, self.next.get(), wanted).await?;
        self.old.check_allocatable::<Error<S::Error>>(first..first + wanted)?;
        self.next.set(first + wanted);
        Ok(first)
    }

    /// Returns the refcounts of the first of `clusters` that are in one slice.
    ///
    /// `clusters` must be in one refcount block. Returns `None` if that block doesn't exist.
    async fn segment<S: Storage>(
        &self,
        file: &HostFile<S>,
        clusters: Range<u64>,
    ) -> Result<Option<Segment>, Error<S::Error>> {
        let Some(block) = self.block(self.old.block_index(clusters.start)) else {
            return Ok(None);
        };
        let first = self.old.position_of(clusters.start);
        let (slice, word_at) = self.old.slice_at(file, block.plus(first.word_byte)).await?;
        let (start, _) = self.old.slice_size.split(block.plus(first.word_byte));
        let end =
            clusters.start - self.old.index_in_word(clusters.start) + self.old.refcounts_in(slice.len() - word_at);
        Ok(Some(Segment { slice, start, word_at, first, clusters: clusters.start..clusters.end.min(end) }))
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
        // After this, no slice may be written: either all were written, or the file must not point to them.
        self.dirty.forget();
    }
}

/// Refcounts in one slice.
struct Segment {
    slice: SliceRef,
    /// The host offset of the slice.
    start: HostOffset,
    /// The position in the slice of the word with the first refcount.
    word_at: usize,
    first: RefcountPosition,
    clusters: Range<u64>,
}

impl Segment {
    /// Returns for each refcount the position of its word in the slice, and its position in the word.
    fn positions<'a>(&'a self, refcounts: &'a Refcounts) -> impl Iterator<Item = (usize, RefcountPosition)> + 'a {
        self.clusters.clone().map(|cluster| {
            let position = refcounts.position_of(cluster);
            // Within the slice, so it fits a usize.
            (self.word_at + usize::try_from(position.word_byte - self.first.word_byte).unwrap_or(0), position)
        })
    }
}
