//! Attempts: decisions from cached tables alone, repeated once a missing slice is loaded.

use core::cell::Ref;

use super::host_file::{FileId, HostFile};
use super::table_cache::{SliceRef, SliceSize, TableCache};
use crate::error::{Corrupt, Error, Misuse};
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// The result of an attempt. An attempt never waits: it completes, or it names the slice that is not cached.
pub(crate) type Attempt<T> = Result<T, Stop>;

/// Why an attempt did not complete.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A table slice that is not cached; this is a host offset within it.
    Miss(HostOffset),
    /// The image is corrupt.
    Corrupt(Corrupt),
    /// The request cannot be carried out.
    Misuse(Misuse),
}

impl From<Corrupt> for Stop {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl From<Misuse> for Stop {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

/// The last slices that an attempt missed. While they are pinned, the cache does not evict them, so loading one slice
/// that an attempt needs does not evict another.
#[derive(Default)]
pub(crate) struct Pins {
    slices: [Option<SliceRef>; 4],
    next: usize,
}

impl Pins {
    pub(super) fn add(&mut self, slice: SliceRef) {
        self.slices[self.next % self.slices.len()] = Some(slice);
        self.next += 1;
    }
}

impl TableCache {
    /// Returns the slice that holds the byte at `offset`, and the position of that byte in the slice. The cache must not be
    /// changed while the result exists.
    #[expect(clippy::inline_always, reason = "measured: without it, a lookup takes a third more")]
    #[inline(always)]
    pub(crate) fn try_slice_at(
        &self,
        file: FileId,
        size: SliceSize,
        offset: HostOffset,
    ) -> Attempt<(Ref<'_, SliceRef>, usize)> {
        self.look_up(file, size, offset).ok_or(Stop::Miss(offset))
    }

    /// Repeats `attempt` until it completes, loading what it misses from `file` in between.
    pub(crate) async fn complete<S: Storage, T>(
        &self,
        file: &HostFile<S>,
        size: SliceSize,
        mut attempt: impl FnMut() -> Attempt<T>,
    ) -> Result<T, Error<S::Error>> {
        let mut pins = Pins::default();
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(stop) => self.resume(file, size, stop, &mut pins).await?,
            }
        }
    }

    /// Loads and pins the slice that an attempt missed. Fails if the attempt stopped for another reason.
    pub(crate) async fn resume<S: Storage>(
        &self,
        file: &HostFile<S>,
        size: SliceSize,
        stop: Stop,
        pins: &mut Pins,
    ) -> Result<(), Error<S::Error>> {
        match stop {
            Stop::Miss(offset) => {
                pins.add(self.slice_at(file, size, offset).await.map_err(Error::Storage)?.0);
                Ok(())
            }
            Stop::Corrupt(corrupt) => Err(corrupt.into()),
            Stop::Misuse(misuse) => Err(misuse.into()),
        }
    }
}
