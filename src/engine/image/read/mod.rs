//! Reading the disk: the mapping first, then what it says to read, side by side.

pub(crate) mod diff;
pub(crate) mod host_offset;
pub(crate) mod locate;
pub(crate) mod map;
pub(crate) mod salvage;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::ready;

use futures_util::TryStreamExt;
use futures_util::stream::FuturesUnordered;

use super::Image;
use super::layer::Layer;
use crate::error::{Error, Misuse};
use crate::format::units::{GuestOffset, HostOffset};
use crate::meta::attempt::Attempt;
use crate::meta::compressed::CompressedRead;
use crate::meta::run::{Mapping, Run};
use crate::storage::Storage;

/// How many requests of the storage one read has under way at most.
const MAX_JOBS: usize = 32;
/// Compressed clusters that follow each other in the file are read at once, up to this many bytes.
const MAX_GROUP: u64 = 2 << 20;
/// How many bytes of compressed clusters one read holds at most, besides a last group.
const MAX_COMPRESSED: u64 = 8 << 20;

impl<S: Storage> Image<S> {
    /// Fills `buf` with the disk's bytes at `offset`, all of it or an error.
    ///
    /// Contiguous clusters are read by one request of the storage. After an error, or when the future is dropped, the
    /// contents of `buf` are unspecified.
    pub async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error<S::Error>> {
        let _request = self.top.begin_request().await;
        check_bounds(offset, buf.len(), self.size())?;
        read_layers(&self.layers, GuestOffset(offset), buf).await
    }
}

pub(super) fn check_bounds(offset: u64, length: usize, size: u64) -> Result<(), Misuse> {
    check_range(offset, length as u64, size)
}

pub(super) fn check_range(offset: u64, length: u64, size: u64) -> Result<(), Misuse> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Misuse::OutOfBounds { offset, length, size }),
    }
}

/// Fills `buf` with what the chain of `layers` shows at `offset`.
pub(super) async fn read_layers<S: Storage>(
    layers: &[Layer<S>],
    offset: GuestOffset,
    buf: &mut [u8],
) -> Result<(), Error<S::Error>> {
    let length = buf.len() as u64;
    let (mut depth, mut resolved) = (0, None);
    // Nearly all reads are of one run: they wait for the data alone, and allocate nothing.
    while let Some(layer) = layers.get(depth)
        && length != 0
        && offset.0.saturating_add(length) <= layer.size()
    {
        match layer.resolve(offset, length) {
            Ok(run) if run.length == length => match run.mapping {
                Mapping::Data(host) => {
                    let result = layer.read_data(offset, host, buf).await;
                    return result.map_err(|error| error.at_depth(depth_number(depth)));
                }
                Mapping::Unallocated(_) => depth += 1,
                Mapping::Zero(_) | Mapping::Compressed(_) => {
                    resolved = Some(Ok(run));
                    break;
                }
            },
            first => {
                resolved = Some(first);
                break;
            }
        }
    }
    // On the heap, for it is large, and the future of a read is moved about.
    Box::pin(read_parts(layers, Part { depth, offset, buf, resolved })).await
}

/// Fills a part of the buffer, and what turns out to be left of it.
async fn read_parts<S: Storage>(layers: &[Layer<S>], mut part: Part<'_>) -> Result<(), Error<S::Error>> {
    loop {
        match part.resolve(layers).await? {
            (First::Filled, None) => return Ok(()),
            (First::Read(job), None) => return job.run(layers).await,
            (First::Deeper(next), None) | (First::Filled, Some(next)) => part = next,
            (first, Some(rest)) => return Plan::new(first, rest).run(layers).await,
        }
    }
}

/// A part of the buffer, and what is to fill it: the disk of the layer at `depth`, from `offset` on.
struct Part<'a> {
    depth: usize,
    offset: GuestOffset,
    buf: &'a mut [u8],
    /// The first attempt to resolve the part, if it was made already.
    resolved: Option<Attempt<Run>>,
}

/// What the first run of a part turned out to be.
enum First<'a> {
    /// Zeros; they are in the buffer.
    Filled,
    /// The next layer's.
    Deeper(Part<'a>),
    /// Something to be read.
    Read(Job<'a>),
}

impl<'a> Part<'a> {
    /// The first run, and what is left.
    async fn resolve<S: Storage>(self, layers: &[Layer<S>]) -> Result<(First<'a>, Option<Part<'a>>), Error<S::Error>> {
        let Self { depth, offset, buf, resolved } = self;
        // Under the last layer, and past the end of a backing file, there are zeros.
        let layer = layers.get(depth);
        let available = layer.map_or(0, |layer| layer.size().saturating_sub(offset.0));
        let wanted = available.min(buf.len() as u64);
        let (Some(layer), 1..) = (layer, wanted) else {
            buf.fill(0);
            return Ok((First::Filled, None));
        };
        let first = resolved.unwrap_or_else(|| layer.resolve(offset, wanted));
        let run = match first {
            Ok(run) if !run.may_continue(wanted) => run,
            first => layer.run(offset, wanted, first).await.map_err(|error| error.at_depth(depth_number(depth)))?,
        };
        // A run is no longer than what was wanted.
        let length = usize::try_from(run.length).unwrap_or(usize::MAX).min(buf.len());
        let (buf, rest) = buf.split_at_mut(length);
        let rest =
            (!rest.is_empty()).then_some(Part { depth, offset: offset.plus(run.length), buf: rest, resolved: None });
        let first = match run.mapping {
            Mapping::Unallocated(_) => First::Deeper(Part { depth: depth + 1, offset, buf, resolved: None }),
            Mapping::Zero(_) => {
                buf.fill(0);
                First::Filled
            }
            Mapping::Data(place) => First::Read(Job::Data { depth, guest: offset, place, buf }),
            Mapping::Compressed(span) => {
                let piece = CompressedRead { span, skip: layer.offset_in_cluster(offset), buf };
                First::Read(Job::Compressed { depth, pieces: Pieces::One([piece]) })
            }
        };
        Ok((first, rest))
    }
}

/// A request of the storage: of the layer at `depth`.
enum Job<'a> {
    Data { depth: usize, guest: GuestOffset, place: HostOffset, buf: &'a mut [u8] },
    Compressed { depth: usize, pieces: Pieces<'a> },
}

/// Parts of compressed clusters that follow each other in the file.
enum Pieces<'a> {
    One([CompressedRead<'a>; 1]),
    Many(Vec<CompressedRead<'a>>),
}

impl<'a> Job<'a> {
    async fn run<S: Storage>(self, layers: &[Layer<S>]) -> Result<(), Error<S::Error>> {
        let (depth, result) = match self {
            Self::Data { depth, guest, place, buf } => (depth, layers[depth].read_data(guest, place, buf).await),
            Self::Compressed { depth, mut pieces } => {
                let result = match &layers[depth] {
                    Layer::Qcow2 { file, .. } => file.compressed.read(&file.files.image, pieces.as_mut_slice()).await,
                    // A raw file has no compressed clusters.
                    Layer::Raw(_) => Ok(()),
                };
                (depth, result)
            }
        };
        result.map_err(|error| error.at_depth(depth_number(depth)))
    }

    /// How many bytes of compressed clusters it holds while it runs.
    fn compressed_bytes(&self) -> u64 {
        let Self::Compressed { pieces, .. } = self else { return 0 };
        let pieces = pieces.as_slice();
        let (start, end) = (pieces.first().map(|first| first.span.start), pieces.last().map(|last| last.span.end()));
        end.map_or(0, |end| end.0) - start.map_or(0, |start| start.0)
    }

    /// Takes `next` in, if one request can serve both; else hands it back.
    fn join(&mut self, next: Job<'a>) -> Option<Job<'a>> {
        match (self, next) {
            (
                Self::Compressed { depth, pieces },
                Self::Compressed { depth: next_depth, pieces: Pieces::One([next]) },
            ) if *depth == next_depth && pieces.are_followed_by(&next) => {
                pieces.push(next);
                None
            }
            (_, next) => Some(next),
        }
    }
}

impl<'a> Pieces<'a> {
    fn as_mut_slice(&mut self) -> &mut [CompressedRead<'a>] {
        match self {
            Self::One(piece) => piece,
            Self::Many(pieces) => pieces,
        }
    }

    fn as_slice(&self) -> &[CompressedRead<'a>] {
        match self {
            Self::One(piece) => piece,
            Self::Many(pieces) => pieces,
        }
    }

    /// Whether `next` begins where the last piece ends, give or take what a span is rounded up, and all stay small.
    fn are_followed_by(&self, next: &CompressedRead<'_>) -> bool {
        let pieces = self.as_slice();
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
            return false;
        };
        let (start, end) = (first.span.start, last.span.end());
        (last.span.start..=end).contains(&next.span.start) && next.span.end().0 - start.0 <= MAX_GROUP
    }

    fn push(&mut self, piece: CompressedRead<'a>) {
        let mut pieces = match core::mem::replace(self, Self::Many(Vec::new())) {
            Self::One(first) => Vec::from(first),
            Self::Many(pieces) => pieces,
        };
        pieces.push(piece);
        *self = Self::Many(pieces);
    }
}

/// A read of several runs: what is still to be resolved, the next at the end, and what is ready to be read.
struct Plan<'a> {
    parts: Vec<Part<'a>>,
    jobs: Vec<Job<'a>>,
}

impl<'a> Plan<'a> {
    fn new(first: First<'a>, rest: Part<'a>) -> Self {
        let mut plan = Self { parts: Vec::new(), jobs: Vec::new() };
        plan.add(first, Some(rest));
        plan
    }

    async fn run<S: Storage>(mut self, layers: &[Layer<S>]) -> Result<(), Error<S::Error>> {
        while let Some(part) = self.parts.pop() {
            let (first, rest) = part.resolve(layers).await?;
            self.add(first, rest);
            if self.jobs.len() >= MAX_JOBS || self.jobs.iter().map(Job::compressed_bytes).sum::<u64>() >= MAX_COMPRESSED
            {
                self.run_jobs(layers).await?;
            }
        }
        self.run_jobs(layers).await
    }

    fn add(&mut self, first: First<'a>, rest: Option<Part<'a>>) {
        self.parts.extend(rest);
        match first {
            First::Filled => {}
            First::Deeper(part) => self.parts.push(part),
            First::Read(job) => {
                let left = match self.jobs.last_mut() {
                    Some(last) => last.join(job),
                    None => Some(job),
                };
                self.jobs.extend(left);
            }
        }
    }

    async fn run_jobs<S: Storage>(&mut self, layers: &[Layer<S>]) -> Result<(), Error<S::Error>> {
        if self.jobs.len() == 1
            && let Some(job) = self.jobs.pop()
        {
            return job.run(layers).await;
        }
        let running: FuturesUnordered<_> = self.jobs.drain(..).map(|job| job.run(layers)).collect();
        running.try_for_each(|()| ready(Ok(()))).await
    }
}

/// A chain has at most [`Image::MAX_CHAIN`] layers.
pub(super) fn depth_number(depth: usize) -> u32 {
    u32::try_from(depth).unwrap_or(u32::MAX)
}
