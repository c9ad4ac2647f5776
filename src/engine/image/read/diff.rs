//! The differences between two states of a disk.

use futures_util::stream::{self, Stream};

use crate::error::Error;
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::layer::Layer;
use crate::meta::run::{Mapping, Run};
use crate::storage::Storage;

/// A range of the disk that may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffExtent {
    /// The guest offset of the range in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// The ranges in which two states of a disk may differ, in order. Returned by [`Image::diff`].
#[derive(Debug)]
pub struct Diff<S: Storage> {
    images: [Image<S>; 2],
    position: u64,
    /// An extent that may still grow.
    pending: Option<DiffExtent>,
}

/// The result of one step of a [`Diff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffStep {
    /// A complete extent.
    Extent(DiffExtent),
    /// No complete extent yet; the diff is known up to `position`, in bytes of the disk.
    Working {
        /// The guest offset at which the next step continues.
        position: u64,
    },
    /// There are no more extents.
    Done,
}

impl<S: Storage> Image<S> {
    /// Returns what may differ between this state of the disk and `other`, from the tables alone.
    ///
    /// The two states are two snapshots of an image, or a snapshot and the disk. Data at the same host offset is the
    /// same, and so is what reads as zeros, or as the backing file, in both. All other written data counts as
    /// different, whatever its contents. If one state is larger, the additional part differs. Returns `None` if the two
    /// states do not belong to the same open image.
    ///
    pub fn diff(&self, other: &Self) -> Option<Diff<S>> {
        let is_one = alloc::rc::Rc::ptr_eq(&self.top, &other.top);
        is_one.then(|| Diff { images: [self.clone(), other.clone()], position: 0, pending: None })
    }
}

impl<S: Storage> Diff<S> {
    /// Returns the next extent, as long as possible, or `None` after the last one.
    ///
    /// [`Diff::step`] does the same in small steps.
    pub async fn next(&mut self) -> Result<Option<DiffExtent>, Error<S::Error>> {
        loop {
            match self.step().await? {
                DiffStep::Extent(extent) => return Ok(Some(extent)),
                DiffStep::Working { .. } => {}
                DiffStep::Done => return Ok(None),
            }
        }
    }

    /// Returns the extents as a stream, which ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<DiffExtent, Error<S::Error>>> {
        stream::try_unfold(self, |mut diff| async move { Ok(diff.next().await?.map(|extent| (extent, diff))) })
    }

    /// Advances by one run of each state. Neither an error nor dropping the future advances it.
    pub async fn step(&mut self) -> Result<DiffStep, Error<S::Error>> {
        let _request = self.images[0].top.begin_request().await;
        let [one, other] = &self.images;
        let end = one.size().max(other.size());
        if self.position >= end {
            return Ok(self.pending.take().map_or(DiffStep::Done, DiffStep::Extent));
        }
        let start = self.position;
        let shared = one.size().min(other.size()).saturating_sub(start);
        let (length, differs) =
            if shared == 0 { (end - start, true) } else { compare(one, other, start, shared).await? };
        self.position += length;
        let complete = if differs {
            if let Some(pending) = &mut self.pending {
                pending.length += length;
            } else {
                self.pending = Some(DiffExtent { start, length });
            }
            None
        } else {
            self.pending.take()
        };
        Ok(complete.map_or(DiffStep::Working { position: self.position }, DiffStep::Extent))
    }
}

/// Returns how many bytes from `start`, at most `limit`, are all alike or all different, and whether they differ.
async fn compare<S: Storage>(
    one: &Image<S>,
    other: &Image<S>,
    start: u64,
    limit: u64,
) -> Result<(u64, bool), Error<S::Error>> {
    let (one_run, other_run) = (run(one, start, limit).await?, run(other, start, limit).await?);
    let has_backing = one.layers.len() > 1;
    let is_zero = |mapping: Mapping| match mapping {
        Mapping::Zero(_) => true,
        Mapping::Unallocated(_) => !has_backing,
        Mapping::Data(_) | Mapping::Compressed(_) => false,
    };
    let same = match (one_run.mapping, other_run.mapping) {
        (Mapping::Unallocated(_), Mapping::Unallocated(_)) => true,
        (Mapping::Data(host), Mapping::Data(other)) => host == other,
        (Mapping::Compressed(span), Mapping::Compressed(other)) => span == other,
        (mapping, other) => is_zero(mapping) && is_zero(other),
    };
    Ok((one_run.length.min(other_run.length), !same))
}

async fn run<S: Storage>(image: &Image<S>, start: u64, limit: u64) -> Result<Run, Error<S::Error>> {
    match image.disk() {
        layer @ Layer::Qcow2 { .. } => layer.run_at(GuestOffset(start), limit).await,
        // The first layer is the image itself.
        Layer::Raw(_) => Ok(Run::without_l2_table(limit)),
    }
}
