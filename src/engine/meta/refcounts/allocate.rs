//! Finds free clusters and allocates them.

use core::ops::Range;

use super::{MAX_HOST_OFFSET, Refcounts};
use crate::error::{Corrupt, Error, Misuse};
use crate::format::refcount::RefcountPosition;
use crate::format::units::HostOffset;
use crate::meta::attempt::{Attempt, Pins, Stop};
use crate::meta::host_file::{FileId, HostFile};
use crate::meta::table_cache::SliceRef;
use crate::storage::Storage;

impl Refcounts {
    /// Allocates up to `wanted` contiguous clusters, from the first free one. `wanted` must not be 0.
    ///
    /// The range ends before the first cluster that is in use, or whose refcount is not cached. Each cluster of the range
    /// then has one reference.
    pub(crate) async fn allocate<S: Storage>(
        &self,
        file: &HostFile<S>,
        wanted: u64,
    ) -> Result<Range<u64>, Error<S::Error>> {
        let mut pins = Pins::default();
        loop {
            match self.try_allocate(file.id(), wanted) {
                Ok(Some(clusters)) => return Ok(clusters),
                Ok(None) => self.find_free(file, &mut pins).await?,
                Err(stop) => self.cache.resume(file, self.slice_size, stop, &mut pins).await?,
            }
        }
    }

    /// Allocates like [`Self::allocate`], without waiting. Returns `None` if the first candidate is not known to be free.
    ///
    /// There must be no await after a cluster is allocated: a future that is dropped there would leak the cluster.
    pub(crate) fn try_allocate(&self, file: FileId, wanted: u64) -> Attempt<Option<Range<u64>>> {
        let first = self.candidate();
        let mut end = first;
        while end - first < wanted {
            match self.try_allocate_cluster(file, end) {
                Ok(true) => end += 1,
                Ok(false) if end == first => return Ok(None),
                Err(stop) if end == first => return Err(stop),
                Ok(false) | Err(_) => break,
            }
        }
        self.set_first_candidate(end);
        Ok(Some(first..end))
    }

    /// Returns the first cluster that may be free.
    pub(crate) fn candidate(&self) -> u64 {
        self.first_candidate.get().max(self.floor.get())
    }

    /// Records that no cluster from the candidate to `end` is free.
    fn set_first_candidate(&self, end: u64) {
        if self.first_candidate.get() >= self.floor.get() {
            self.first_candidate.set(end);
        }
    }

    /// Advances the candidate to a free cluster whose refcount is cached, and pins the slice with that refcount.
    pub(crate) async fn find_free<S: Storage>(
        &self,
        file: &HostFile<S>,
        pins: &mut Pins,
    ) -> Result<(), Error<S::Error>> {
        let free = self.next_free(file, self.candidate()).await?;
        if self.block_of(free).is_none() {
            self.make_room_in_table(free)?;
            self.add_block(file, free)?;
        }
        self.set_first_candidate(free);
        if let Some(at) = self.find(free) {
            pins.add(self.slice_at(file, at.word).await?.0);
        }
        Ok(())
    }

    /// Allocates `cluster` if it is free, and returns whether it was. Returns false if its refcount is not cached.
    #[inline]
    fn try_allocate_cluster(&self, file: FileId, cluster: u64) -> Attempt<bool> {
        let Some(at) = self.find(cluster) else {
            return Ok(false);
        };
        // `find_free` loads the refcount of the first candidate. An allocation ends at any other one that is not cached.
        let Ok((slice, word_at)) = self.cache.try_slice_at(file, self.slice_size, at.word) else {
            return Ok(false);
        };
        let word = slice.word(word_at);
        if self.width.get(word, at.position) != 0 {
            return Ok(false);
        }
        self.check_allocatable::<Stop>(cluster..cluster + 1)?;
        let start = HostOffset(at.word.0 - word_at as u64);
        self.dirty.set_word(start, &slice, word_at, self.width.set(word, at.position, 1));
        Ok(true)
    }

    /// Fails if `clusters`, which are free, can't be allocated: past the largest host offset, or over metadata.
    pub(in crate::meta) fn check_allocatable<E: From<Corrupt> + From<Misuse>>(
        &self,
        clusters: Range<u64>,
    ) -> Result<(), E> {
        if clusters.end > MAX_HOST_OFFSET >> self.geometry.cluster_bits() {
            return Err(Misuse::ImageFull.into());
        }
        Ok(self.metadata_ranges.check(clusters, self.geometry.cluster_bits())?)
    }

    /// Returns the first of `wanted` contiguous free clusters at or after `from`. Allocates nothing.
    pub(crate) async fn free_run<S: Storage>(
        &self,
        file: &HostFile<S>,
        from: u64,
        wanted: u64,
    ) -> Result<u64, Error<S::Error>> {
        let mut first = self.next_free(file, from).await?;
        let mut end = first + 1;
        while end - first < wanted {
            if self.block_of(end).is_none() || self.get(file, end).await? == 0 {
                end += 1;
            } else {
                first = self.next_free(file, end + 1).await?;
                end = first + 1;
            }
        }
        Ok(first)
    }

    /// Returns the end of the last cluster of the file that is in use.
    pub(crate) async fn end_of_allocated<S: Storage>(&self, file: &HostFile<S>) -> Result<u64, Error<S::Error>> {
        let mut end = file.size().div_ceil(self.geometry.cluster_size());
        while end > 0 {
            if self.block_of(end - 1).is_none() {
                end = (end - 1) >> self.block_bits() << self.block_bits();
            } else if self.get(file, end - 1).await? == 0 {
                end -= 1;
            } else {
                break;
            }
        }
        Ok(end)
    }

    /// Returns how many of `clusters` are in use.
    pub(crate) async fn count_allocated<S: Storage>(
        &self,
        file: &HostFile<S>,
        clusters: Range<u64>,
    ) -> Result<u64, Error<S::Error>> {
        let (mut count, mut cluster) = (0, clusters.start);
        while cluster < clusters.end {
            let Some(at) = self.find(cluster) else {
                cluster = self.end_of_block(cluster);
                continue;
            };
            let (slice, word_at) = self.slice_at(file, at.word).await?;
            let end = self.end_of_slice(cluster, &slice, word_at).min(clusters.end);
            count +=
                (cluster..end).filter(|next| self.refcount_in(&slice, word_at, at.position, *next) != 0).count() as u64;
            cluster = end;
        }
        Ok(count)
    }

    /// Returns the first free cluster at or after `from`. Clusters without a refcount block are free.
    async fn next_free<S: Storage>(&self, file: &HostFile<S>, from: u64) -> Result<u64, Error<S::Error>> {
        let mut cluster = from;
        while let Some(at) = self.find(cluster) {
            let (slice, word_at) = self.slice_at(file, at.word).await?;
            if self.width.get(slice.word(word_at), at.position) == 0 {
                return Ok(cluster);
            }
            // Searches the rest of the slice without a lookup for each refcount.
            let end = self.end_of_slice(cluster, &slice, word_at);
            cluster = (cluster + 1..end)
                .find(|next| self.refcount_in(&slice, word_at, at.position, *next) == 0)
                .unwrap_or(end);
        }
        Ok(cluster)
    }

    /// Returns the end of the clusters whose refcounts are in `slice`. The word at `word_at` has the refcount of `cluster`.
    fn end_of_slice(&self, cluster: u64, slice: &SliceRef, word_at: usize) -> u64 {
        let first_in_word = cluster - self.index_in_word(cluster);
        (first_in_word + self.refcounts_in(slice.len() - word_at)).min(self.end_of_block(cluster))
    }

    /// Returns the refcount of `cluster`, which is in `slice` after the refcount at `known`, whose word is at `word_at`.
    fn refcount_in(&self, slice: &SliceRef, word_at: usize, known: RefcountPosition, cluster: u64) -> u64 {
        let position = self.position_of(cluster);
        // Within the slice, so it fits a usize.
        let word_at = word_at + usize::try_from(position.word_byte - known.word_byte).unwrap_or(0);
        self.width.get(slice.word(word_at), position)
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::field;
    use crate::format::header::{Header, RawHeader};
    use crate::meta::table_cache::TableCache;
    use crate::ready::now_or_never;
    use crate::storage::MemoryStorage;

    /// A file with 2 MiB clusters and an empty refcount table: each entry covers 2^45 bytes.
    fn image() -> Vec<u8> {
        let mut bytes = vec![0; 4 << 20];
        let mut put =
            |at: u64, value: &[u8]| bytes[usize::try_from(at).unwrap_or(0)..][..value.len()].copy_from_slice(value);
        put(field::MAGIC, b"QFI\xfb");
        put(field::REFCOUNT_TABLE_OFFSET, &(2_u64 << 20).to_be_bytes());
        for (field, value) in [
            (field::VERSION, 3_u32),
            (field::CLUSTER_BITS, 21),
            (field::REFCOUNT_TABLE_CLUSTERS, 1),
            (field::HEADER_LENGTH, 104),
        ] {
            put(field, &value.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn no_refcount_block_is_allocated_past_the_largest_offset() {
        let bytes = image();
        let header = RawHeader::parse(&bytes).and_then(|raw| Header::check(raw, &[])).expect("it is sound");
        let storage = MemoryStorage::from(bytes);
        let done = now_or_never(async {
            let file = HostFile::open(storage, FileId(0)).await.expect("it has a size");
            let refcounts = Refcounts::open(&file, &header, Rc::new(TableCache::new(0))).await.expect("it is sound");
            // As if all clusters before this one were in use.
            refcounts.first_candidate.set(MAX_HOST_OFFSET >> 21);
            for wanted in [1, 2] {
                let full = refcounts.allocate(&file, wanted).await;
                assert!(matches!(full, Err(Error::Misuse(Misuse::ImageFull))), "{full:?}");
            }
            assert_eq!(refcounts.dirty_table_entries(), []);
            refcounts.first_candidate.set((MAX_HOST_OFFSET >> 21) - 1);
            assert!(refcounts.allocate(&file, 1).await.is_err(), "the block takes the last cluster");
            assert_eq!(refcounts.dirty_table_entries().len(), 1);
        });
        assert!(done.is_some());
    }
}
