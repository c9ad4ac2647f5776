//! A bounded cache of table slices.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, Ref, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};

use byteorder::{BigEndian, ByteOrder};
use hashbrown::HashMap;

use super::host_file::{FileId, HostFile};
use super::second_chance::{Evictable, SecondChance};
use crate::format::geometry::Geometry;
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// The largest slice. A 4 KiB slice of an L2 table maps 32 MiB of a disk with default clusters, and costs a remote
/// storage a small request where a whole table would be 64 KiB.
const MAX_SLICE: u64 = 4096;

/// The unit in which a slice is written, in bytes.
const SECTOR: usize = 512;
const WORD: usize = 8;

/// The cache of table slices, for all files of a chain.
///
/// Every table begins at a cluster boundary, and the slice size divides the cluster size, so no slice spans two tables. One
/// request loads a slice, and all others wait for it. There is never more than one slice for the same host offset, because
/// a slice that is dirty or referenced is not evicted.
pub(crate) struct TableCache {
    slices: RefCell<Slices>,
    /// The likely positions in `slices`, indexed by the number of the slice in the file.
    hints: Box<[Cell<usize>; HINTS]>,
    loading: RefCell<HashMap<Key, Waiters>>,
    loads: Cell<u64>,
}

type Slices = SecondChance<Key, SliceRef>;

/// Identifies a slice: its file and its host offset.
type Key = (FileId, u64);

type Waiters = Vec<Waker>;

/// With 4 KiB slices, enough for 8 GiB of a disk with default clusters. On a larger disk, hints fail more often.
const HINTS: usize = 256;

/// The size of the slices of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceSize(u64);

/// A slice of a table, as 64-bit words in native byte order.
#[derive(Debug)]
pub(crate) struct Slice {
    words: Box<[Cell<u64>]>,
    /// One bit for each sector that differs from the file.
    dirty: Cell<u8>,
}

pub(crate) type SliceRef = Rc<Slice>;

impl SliceSize {
    pub(crate) fn of(geometry: Geometry) -> Self {
        Self(geometry.cluster_size().min(MAX_SLICE))
    }

    /// Returns the size in bytes: at most [`MAX_SLICE`], hence within a usize.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// Splits `offset` into the host offset of its slice and the position within the slice.
    pub(crate) fn split(self, offset: HostOffset) -> (HostOffset, usize) {
        let within = offset.0 & (self.0 - 1);
        (HostOffset(offset.0 - within), usize::try_from(within).unwrap_or(0))
    }
}

impl Slice {
    fn zeroed(bytes: usize) -> Self {
        Self { words: vec![Cell::new(0); bytes / WORD].into(), dirty: Cell::new(0) }
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let words = bytes.chunks_exact(WORD).map(|word| Cell::new(BigEndian::read_u64(word))).collect();
        Self { words, dirty: Cell::new(0) }
    }

    /// Returns the word at byte `at`, which must be within the slice.
    pub(crate) fn word(&self, at: usize) -> u64 {
        self.words[at / WORD].get()
    }

    /// Sets the word at byte `at`. The caller must ensure that the slice is written back: see
    /// [`Dirty`](super::dirty_slices::Dirty).
    pub(super) fn set_word(&self, at: usize, word: u64) {
        self.words[at / WORD].set(word);
        self.dirty.set(self.dirty.get() | 1 << (at / SECTOR));
    }

    /// Returns the memory that the slice takes in a cache, in bytes.
    fn memory(&self) -> usize {
        self.len() + size_of::<Self>() + Slices::OVERHEAD
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.words.len() * WORD
    }

    /// Marks all sectors as dirty, for a table that the file doesn't hold yet.
    pub(super) fn mark_whole(&self) {
        self.dirty.set(u8::MAX >> (8 - self.len() / SECTOR));
    }

    pub(super) fn copy_from(&self, other: &Slice) {
        for (word, from) in self.words.iter().zip(&other.words) {
            word.set(from.get());
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.dirty.get() == 0
    }

    pub(super) fn mark_clean(&self) {
        self.dirty.set(0);
    }

    /// Appends the bytes from the first to the last dirty sector to `buf`, and returns their position in the slice.
    pub(super) fn append_dirty(&self, buf: &mut Vec<u8>) -> usize {
        let dirty = self.dirty.get();
        let first = dirty.trailing_zeros() as usize * SECTOR / WORD;
        let end = (8 - dirty.leading_zeros() as usize) * SECTOR / WORD;
        for word in self.words.get(first..end).unwrap_or_default() {
            buf.extend_from_slice(&word.get().to_be_bytes());
        }
        first * WORD
    }
}

impl Evictable for SliceRef {
    fn is_evictable(&self) -> bool {
        self.is_clean() && Rc::strong_count(self) == 1
    }
}

impl TableCache {
    /// Creates a cache of at most `budget` bytes of slices. Slices that are in use may exceed that.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            slices: RefCell::new(SecondChance::new(budget)),
            hints: Box::new([const { Cell::new(0) }; HINTS]),
            loading: RefCell::new(HashMap::new()),
            loads: Cell::new(0),
        }
    }

    /// Returns the slice that holds the byte at `offset`, and the position of that byte in the slice. Loads it if needed.
    pub(crate) async fn slice_at<S: Storage>(
        &self,
        file: &HostFile<S>,
        size: SliceSize,
        offset: HostOffset,
    ) -> Result<(SliceRef, usize), S::Error> {
        let (start, within) = size.split(offset);
        let key = (file.id(), start.0);
        loop {
            if let Some(cached) = self.cached(file.id(), size, offset) {
                return Ok(cached);
            }
            match self.claim(key) {
                Some(claim) => return Ok((self.load(file, size, claim).await?, within)),
                None => self.other_load_ended(key).await,
            }
        }
    }

    /// Returns how many slices were read.
    pub(crate) fn loads(&self) -> u64 {
        self.loads.get()
    }

    /// Inserts a slice of zeros at `start`, for a new table. The cache does not read the file there.
    pub(crate) fn insert_zeroed(&self, file: FileId, size: SliceSize, start: HostOffset) -> SliceRef {
        let slice = Rc::new(Slice::zeroed(size.bytes()));
        self.slices.borrow_mut().insert((file, start.0), slice.clone(), slice.memory(), drop);
        slice
    }

    /// Removes the slice at `start`, because the file is written there without the cache.
    ///
    /// The slice must not be dirty, and no request may be loading it.
    pub(crate) fn forget(&self, file: FileId, start: HostOffset) {
        self.slices.borrow_mut().remove((file, start.0));
    }

    /// Removes all slices, because the tables were changed without the cache.
    ///
    /// No slice may be dirty, and no request may be under way.
    pub(crate) fn clear(&self) {
        self.slices.borrow_mut().clear();
    }

    /// Returns the slice and the position like [`TableCache::slice_at`], if the slice is cached.
    #[expect(clippy::inline_always, reason = "measured: two calls are a seventh of a lookup")]
    #[inline(always)]
    pub(super) fn cached(&self, file: FileId, size: SliceSize, offset: HostOffset) -> Option<(SliceRef, usize)> {
        let (slice, within) = self.look_up(file, size, offset)?;
        Some((Rc::clone(&slice), within))
    }

    /// As [`Self::cached`], without cloning the reference. The cache must not be changed while the result exists.
    #[expect(clippy::inline_always, reason = "measured: two calls are a seventh of a lookup")]
    #[inline(always)]
    pub(super) fn look_up(
        &self,
        file: FileId,
        size: SliceSize,
        offset: HostOffset,
    ) -> Option<(Ref<'_, SliceRef>, usize)> {
        let (start, within) = size.split(offset);
        let hint = self.hint(size, start);
        let slice = Ref::filter_map(self.slices.borrow(), |slices| slices.get_near((file, start.0), hint)).ok()?;
        Some((slice, within))
    }

    fn hint(&self, size: SliceSize, start: HostOffset) -> &Cell<usize> {
        // Only the lowest bits matter, so that a usize may cut the number off.
        #[expect(clippy::cast_possible_truncation)]
        let number = (start.0 >> size.0.trailing_zeros()) as usize;
        &self.hints[number % HINTS]
    }

    async fn load<S: Storage>(
        &self,
        file: &HostFile<S>,
        size: SliceSize,
        claim: Claim<'_>,
    ) -> Result<SliceRef, S::Error> {
        let mut bytes = vec![0; size.bytes()];
        self.loads.set(self.loads.get() + 1);
        file.read(HostOffset(claim.key.1), &mut bytes).await?;
        let mut slices = self.slices.borrow_mut();
        // A new table may have been inserted at this offset meanwhile. Then the bytes that were read are obsolete.
        if let Some(newer) = slices.get(claim.key) {
            return Ok(newer.clone());
        }
        let slice = Rc::new(Slice::from_bytes(&bytes));
        slices.insert(claim.key, slice.clone(), slice.memory(), drop);
        Ok(slice)
    }

    /// Claims the right to load the slice `key`. Returns `None` if another request has it.
    fn claim(&self, key: Key) -> Option<Claim<'_>> {
        let mut loading = self.loading.borrow_mut();
        if loading.contains_key(&key) {
            return None;
        }
        loading.insert(key, Waiters::new());
        Some(Claim { cache: self, key })
    }

    async fn other_load_ended(&self, key: Key) {
        poll_fn(|context| match self.loading.borrow_mut().get_mut(&key) {
            Some(waiters) => {
                if !waiters.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiters.push(context.waker().clone());
                }
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }
}

/// The right to load a slice.
///
/// Dropping it ends the load, whether it completed, failed or was cancelled. Waiting requests then look the slice up again,
/// and one of them may claim it. See [`cancellation`](super::cancellation).
struct Claim<'a> {
    cache: &'a TableCache,
    key: Key,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let waiters = self.cache.loading.borrow_mut().remove(&self.key);
        for waker in waiters.into_iter().flatten() {
            waker.wake();
        }
    }
}
