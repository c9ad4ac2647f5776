//! A bounded cache of the image's tables, in slices.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use byteorder::{BigEndian, ByteOrder};
use hashbrown::HashMap;

use super::host_file::{FileId, HostFile};
use super::second_chance::SecondChance;
use crate::format::geometry::Geometry;
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// The largest slice. A 4 KiB slice of an L2 table maps 32 MiB of a disk with default clusters, and costs a remote
/// storage a small request where a whole table would be 64 KiB.
const MAX_SLICE: u64 = 4096;

/// Slices of the tables of all files of a chain, by their place.
///
/// Every table begins at a cluster, and a slice divides a cluster: so no slice holds parts of two tables. A slice is
/// loaded once however many requests wait for it; those that don't get to load it wait for the one that does.
pub(crate) struct TableCache {
    slices: RefCell<SecondChance<Place, Slice>>,
    loading: RefCell<HashMap<Place, Waiters>>,
}

/// Where a slice begins.
type Place = (FileId, u64);

type Waiters = Vec<Waker>;

/// The size of the slices of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SliceSize(u64);

impl SliceSize {
    pub(crate) fn of(geometry: Geometry) -> Self {
        Self(geometry.cluster_size().min(MAX_SLICE))
    }

    /// At most [`MAX_SLICE`], hence within a usize.
    fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }
}

/// A slice of a table, as stored. A clone is the same slice, and outlives its place in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    bytes: Rc<[u8]>,
}

impl Slice {
    /// The big-endian word at byte `at`, which the caller keeps within the slice and a multiple of 8.
    pub(crate) fn word(&self, at: usize) -> u64 {
        BigEndian::read_u64(&self.bytes[at..at + 8])
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl TableCache {
    /// A cache that holds at most `budget` bytes of slices, but one slice at the least.
    pub(crate) fn new(budget: usize) -> Self {
        Self { slices: RefCell::new(SecondChance::new(budget)), loading: RefCell::new(HashMap::new()) }
    }

    /// The slice that holds the byte at `offset`, and where in the slice that byte is.
    pub(crate) async fn slice_at<S: Storage>(
        &self,
        file: &HostFile<S>,
        size: SliceSize,
        offset: HostOffset,
    ) -> Result<(Slice, usize), S::Error> {
        let within = offset.0 & (size.0 - 1);
        let place = (file.id(), offset.0 - within);
        // Less than a slice, which fits.
        let within = usize::try_from(within).unwrap_or(0);
        loop {
            if let Some(slice) = self.slices.borrow_mut().get(place) {
                return Ok((slice.clone(), within));
            }
            match self.claim(place) {
                Some(claim) => return Ok((self.load(file, size, claim).await?, within)),
                None => self.other_load_ended(place).await,
            }
        }
    }

    /// What `body` makes of the slice that holds the byte at `offset`, and of where in the slice that byte is; `None`
    /// where the slice isn't held.
    pub(crate) fn with_held<T>(
        &self,
        file: FileId,
        size: SliceSize,
        offset: HostOffset,
        body: impl FnOnce(&Slice, usize) -> T,
    ) -> Option<T> {
        let within = offset.0 & (size.0 - 1);
        let mut slices = self.slices.borrow_mut();
        let slice = slices.get((file, offset.0 - within))?;
        Some(body(slice, usize::try_from(within).unwrap_or(0)))
    }

    async fn load<S: Storage>(&self, file: &HostFile<S>, size: SliceSize, claim: Claim<'_>) -> Result<Slice, S::Error> {
        let mut bytes = vec![0; size.bytes()];
        file.read(HostOffset(claim.place.1), &mut bytes).await?;
        let slice = Slice { bytes: bytes.into() };
        self.slices.borrow_mut().insert(claim.place, slice.clone(), size.bytes(), drop);
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
