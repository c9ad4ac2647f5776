//! The reasons why a change waits.
//!
//! Every decision about a change is made without waiting, from cached tables, in an *attempt*. An attempt either
//! completes or returns the obstacle. The obstacle is then removed and the attempt is repeated from the beginning, so
//! that no decision depends on a state from before a wait.

use alloc::boxed::Box;
use core::ops::Range;

use super::disk::Disk;
use crate::error::{Corrupt, Error, Misuse};
use crate::meta::attempt::{Pins, Stop};
use crate::storage::StorageMut;

/// The obstacle of an attempt.
pub(in crate::image) enum Wait {
    /// A table slice is not cached; or an error, which waiting does not remove.
    Stop(Stop),
    /// Another change has locked one of these guest clusters.
    Guest(Range<u64>),
    /// Another task holds the metadata lock.
    Metadata,
    /// L2 tables of these guest clusters are missing, or shared with a snapshot.
    Tables(Range<u64>),
    /// No free host cluster is known.
    Allocation,
}

impl From<Stop> for Wait {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Corrupt> for Wait {
    fn from(corrupt: Corrupt) -> Self {
        Self::Stop(corrupt.into())
    }
}

impl From<Misuse> for Wait {
    fn from(misuse: Misuse) -> Self {
        Self::Stop(misuse.into())
    }
}

impl<S: StorageMut> Disk<'_, S> {
    /// Repeats `attempt` until it completes, removing its obstacles.
    pub(in crate::image) async fn complete<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Wait>,
    ) -> Result<T, Error<S::Error>> {
        let first = attempt();
        self.complete_from(first, attempt).await
    }

    /// As [`Disk::complete`], after the first attempt returned `first`.
    pub(in crate::image) async fn complete_from<T>(
        &self,
        first: Result<T, Wait>,
        mut attempt: impl FnMut() -> Result<T, Wait>,
    ) -> Result<T, Error<S::Error>> {
        let mut pins = Pins::default();
        let mut result = first;
        loop {
            match result {
                Ok(value) => return Ok(value),
                // On the heap: it is large and rarely needed.
                Err(wait) => Box::pin(self.wait(wait, &mut pins)).await?,
            }
            result = attempt();
        }
    }

    async fn wait(&self, wait: Wait, pins: &mut Pins) -> Result<(), Error<S::Error>> {
        let (image, tables) = (&self.file.files.image, &self.file.tables);
        match wait {
            Wait::Stop(stop) => tables.cache().resume(image, tables.slice_size(), stop, pins).await?,
            Wait::Guest(clusters) => drop(self.writeback.cluster_locks.lock(clusters).await),
            Wait::Metadata => drop(self.writeback.lock.acquire().await),
            Wait::Tables(clusters) => self.make_tables(clusters).await?,
            Wait::Allocation => {
                let _guard = self.writeback.lock.acquire().await;
                self.writeback.find_free(image, pins).await?;
            }
        }
        Ok(())
    }
}
