//! A bounded cache of the image's tables, in slices.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
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

/// What of a slice is written at once: a sector.
const SECTOR: usize = 512;
const WORD: usize = 8;

/// Slices of the tables of all files of a chain, by their place.
///
/// Every table begins at a cluster, and a slice divides a cluster: so no slice holds parts of two tables. A slice is
/// loaded once however many requests wait for it; those that don't get to load it wait for the one that does. There is
/// never more than one slice of a place: one that is dirty, or held by somebody, is not evicted.
pub(crate) struct TableCache {
    slices: RefCell<Slices>,
    /// Where among `slices` that of a place may be: by the number of the slice in the file.
    hints: Box<[Cell<usize>]>,
    loading: RefCell<HashMap<Place, Waiters>>,
    loads: Cell<u64>,
}

type Slices = SecondChance<Place, SliceRef>;

/// Where a slice begins.
type Place = (FileId, u64);

type Waiters = Vec<Waker>;

/// With 4 KiB slices enough for 8 GiB of a disk with default clusters; beyond that a look-up is made more often.
const HINTS: u64 = 256;

/// The size of the slices of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceSize(u64);

/// A part of a table, as 64-bit words in the machine's own order.
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

    /// At most [`MAX_SLICE`], hence within a usize.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// Where the slice with the byte at `offset` begins, and where in it that byte is.
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

    /// The word at byte `at`, which the caller keeps within the slice.
    pub(crate) fn word(&self, at: usize) -> u64 {
        self.words[at / WORD].get()
    }

    /// Sets the word at byte `at`. Whoever does it sees to it that the slice is written: see
    /// [`Dirty`](super::dirty_slices::Dirty).
    pub(super) fn set_word(&self, at: usize, word: u64) {
        self.words[at / WORD].set(word);
        self.dirty.set(self.dirty.get() | 1 << (at / SECTOR));
    }

    /// What it takes in a cache, in bytes.
    fn memory(&self) -> usize {
        self.len() + size_of::<Self>() + Slices::OVERHEAD
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.words.len() * WORD
    }

    /// Makes all of it to be written, as for a table that the file doesn't hold yet.
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

    /// The bytes from the first dirty sector to the last one, appended to `buf`, and where in the slice they begin.
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
    /// A cache that holds at most `budget` bytes of slices, but what is in use in any case.
    pub(crate) fn new(budget: usize) -> Self {
        let hints = (0..HINTS).map(|_| Cell::new(0)).collect();
        Self {
            slices: RefCell::new(SecondChance::new(budget)),
            hints,
            loading: RefCell::new(HashMap::new()),
            loads: Cell::new(0),
        }
    }

    /// The slice that holds the byte at `offset`, and where in the slice that byte is.
    pub(crate) async fn slice_at<S: Storage>(
        &self,
        file: &HostFile<S>,
        size: SliceSize,
        offset: HostOffset,
    ) -> Result<(SliceRef, usize), S::Error> {
        let (start, within) = size.split(offset);
        let place = (file.id(), start.0);
        loop {
            if let Some(cached) = self.cached(file.id(), size, offset) {
                return Ok(cached);
            }
            match self.claim(place) {
                Some(claim) => return Ok((self.load(file, size, claim).await?, within)),
                None => self.other_load_ended(place).await,
            }
        }
    }

    /// How many slices were read.
    pub(crate) fn loads(&self) -> u64 {
        self.loads.get()
    }

    /// Puts a slice of zeros at `start`, in place of what the file holds there: for a table that is new.
    pub(crate) fn insert_zeroed(&self, file: FileId, size: SliceSize, start: HostOffset) -> SliceRef {
        let slice = Rc::new(Slice::zeroed(size.bytes()));
        self.slices.borrow_mut().insert((file, start.0), slice.clone(), slice.memory(), drop);
        slice
    }

    /// Forgets the slice that begins at `start`, whose place is written without it. It is not dirty, and nobody loads it.
    pub(crate) fn forget(&self, file: FileId, start: HostOffset) {
        self.slices.borrow_mut().remove((file, start.0));
    }

    /// Forgets everything, for the tables were changed without it. Nothing may be dirty, and no request under way.
    pub(crate) fn clear(&self) {
        self.slices.borrow_mut().clear();
    }

    /// As [`TableCache::slice_at`], if the slice is cached.
    #[expect(clippy::inline_always, reason = "measured: two calls are a seventh of a lookup")]
    #[inline(always)]
    pub(super) fn cached(&self, file: FileId, size: SliceSize, offset: HostOffset) -> Option<(SliceRef, usize)> {
        let (start, within) = size.split(offset);
        let mut slices = self.slices.borrow_mut();
        Some((slices.get_near((file, start.0), self.hint(size, start))?.clone(), within))
    }

    fn hint(&self, size: SliceSize, start: HostOffset) -> &Cell<usize> {
        let number = start.0 >> size.0.trailing_zeros();
        // Less than the number of hints, which a usize has room for.
        &self.hints[usize::try_from(number % HINTS).unwrap_or(0)]
    }

    async fn load<S: Storage>(
        &self,
        file: &HostFile<S>,
        size: SliceSize,
        claim: Claim<'_>,
    ) -> Result<SliceRef, S::Error> {
        let mut bytes = vec![0; size.bytes()];
        self.loads.set(self.loads.get() + 1);
        file.read(HostOffset(claim.place.1), &mut bytes).await?;
        let mut slices = self.slices.borrow_mut();
        // A new table may have taken the place meanwhile; then what was read is none of its business.
        if let Some(newer) = slices.get(claim.place) {
            return Ok(newer.clone());
        }
        let slice = Rc::new(Slice::from_bytes(&bytes));
        slices.insert(claim.place, slice.clone(), slice.memory(), drop);
        Ok(slice)
    }

    /// The right to load the slice at `place`, unless somebody else has it.
    fn claim(&self, place: Place) -> Option<Claim<'_>> {
        let mut loading = self.loading.borrow_mut();
        if loading.contains_key(&place) {
            return None;
        }
        loading.insert(place, Waiters::new());
        Some(Claim { cache: self, place })
    }

    async fn other_load_ended(&self, place: Place) {
        poll_fn(|context| match self.loading.borrow_mut().get_mut(&place) {
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

/// Ends a load when dropped, be it done, failed or cancelled: those who wait look again, and one of them may claim it.
/// See [`cancellation`](super::cancellation).
struct Claim<'a> {
    cache: &'a TableCache,
    place: Place,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let waiters = self.cache.loading.borrow_mut().remove(&self.place);
        for waker in waiters.into_iter().flatten() {
            waker.wake();
        }
    }
}
