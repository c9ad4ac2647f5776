//! Reading the disk: resolves the mapping first, then reads the data concurrently.

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

/// The most storage requests that one read has in flight.
const MAX_JOBS: usize = 32;
/// Contiguous compressed clusters are read with one request, up to this many bytes.
const MAX_GROUP: u64 = 2 << 20;
/// The most bytes of compressed clusters that one read holds, without the last group.
const MAX_COMPRESSED: u64 = 8 << 20;

impl<S: Storage> Image<S> {
    /// Reads the bytes at `offset` of the disk into `buf`, all of them or an error.
    ///
    /// Contiguous clusters are read with one storage request. After an error, or if the future is dropped, the contents
    /// of `buf` are unspecified.
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

/// Reads the bytes at `offset` of the chain of `layers` into `buf`.
pub(super) async fn read_layers<S: Storage>(
    layers: &[Layer<S>],
    offset: GuestOffset,
    buf: &mut [u8],
) -> Result<(), Error<S::Error>> {
    let length = buf.len() as u64;
    let (mut depth, mut resolved) = (0, None);
    // The fast path: nearly all reads touch one run. They wait only for the data and allocate no memory.
    while let Some(layer) = layers.get(depth)
        && length != 0
        && offset.0.saturating_add(length) <= layer.size()
    {
        match layer.resolve(offset, length) {
            Ok(Run { length: found, mapping: Mapping::Data(host), .. }) if found == length => {
                let result = layer.read_data(offset, host, buf).await;
                return result.map_err(|error| error.at_depth(depth_number(depth)));
            }
            Ok(Run { length: found, mapping: Mapping::Unallocated(_), .. }) if found == length => depth += 1,
            Ok(Run { length: found, mapping: Mapping::Zero(_), .. }) if found == length => {
                buf.fill(0);
                return Ok(());
            }
            first => {
                resolved = Some(first);
                break;
            }
        }
    }
    if depth == layers.len() {
        // Under the last layer there are zeros.
        buf.fill(0);
        return Ok(());
    }
    // On the heap: it is large, and the future of a read is moved often.
    Box::pin(read_parts(layers, Part { depth, offset, buf, resolved })).await
}

/// Reads a part of the buffer, and the remaining parts that result from it.
async fn read_parts<S: Storage>(layers: &[Layer<S>], mut part: Part<'_>) -> Result<(), Error<S::Error>> {
    loop {
        match part.resolve(layers).await? {
            (First::Zeroed, None) => return Ok(()),
            (First::Read(job), None) => return job.run(layers).await,
            (First::Deeper(next), None) | (First::Zeroed, Some(next)) => part = next,
            (first, Some(rest)) => return Plan::new(first, rest).run(layers).await,
        }
    }
}

/// A part of the buffer, to be read from the layer at `depth`, from `offset`.
struct Part<'a> {
    depth: usize,
    offset: GuestOffset,
    buf: &'a mut [u8],
    /// The first attempt to resolve the part, if it has been made.
    resolved: Option<Attempt<Run>>,
}

/// The result of resolving the first run of a part.
enum First<'a> {
    /// Zeros, which are already in the buffer.
    Zeroed,
    /// Data of the next layer.
    Deeper(Part<'a>),
    /// Data to be read from this layer.
    Read(Job<'a>),
}

impl<'a> Part<'a> {
    /// Resolves the first run. Returns it and the rest.
    async fn resolve<S: Storage>(self, layers: &[Layer<S>]) -> Result<(First<'a>, Option<Part<'a>>), Error<S::Error>> {
        let Self { depth, offset, buf, resolved } = self;
        // Below the last layer, and past the end of a backing file, there are zeros.
        let layer = layers.get(depth);
        let available = layer.map_or(0, |layer| layer.size().saturating_sub(offset.0));
        let wanted = available.min(buf.len() as u64);
        let (Some(layer), 1..) = (layer, wanted) else {
            buf.fill(0);
            return Ok((First::Zeroed, None));
        };
        let first = resolved.unwrap_or_else(|| layer.resolve(offset, wanted));
        let run = match first {
            Ok(run) if !run.may_continue(wanted) => run,
            first => layer.run(offset, wanted, first).await.map_err(|error| error.at_depth(depth_number(depth)))?,
        };
        // A run is never longer than requested.
        let length = usize::try_from(run.length).unwrap_or(usize::MAX).min(buf.len());
        let (buf, rest) = buf.split_at_mut(length);
        let rest =
            (!rest.is_empty()).then_some(Part { depth, offset: offset.plus(run.length), buf: rest, resolved: None });
        let first = match run.mapping {
            Mapping::Unallocated(_) => First::Deeper(Part { depth: depth + 1, offset, buf, resolved: None }),
            Mapping::Zero(_) => {
                buf.fill(0);
                First::Zeroed
            }
            Mapping::Data(host) => First::Read(Job::Data { depth, guest: offset, host, buf }),
            Mapping::Compressed(span) => {
                let segment = CompressedRead { span, skip: layer.offset_in_cluster(offset), buf };
                First::Read(Job::Compressed { depth, segments: Segments::One([segment]) })
            }
        };
        Ok((first, rest))
    }
}

/// A storage request to the layer at `depth`.
enum Job<'a> {
    Data { depth: usize, guest: GuestOffset, host: HostOffset, buf: &'a mut [u8] },
    Compressed { depth: usize, segments: Segments<'a> },
}

/// Parts of contiguous compressed clusters.
enum Segments<'a> {
    One([CompressedRead<'a>; 1]),
    Many(Vec<CompressedRead<'a>>),
}

impl<'a> Job<'a> {
    async fn run<S: Storage>(self, layers: &[Layer<S>]) -> Result<(), Error<S::Error>> {
        let (depth, result) = match self {
            Self::Data { depth, guest, host, buf } => (depth, layers[depth].read_data(guest, host, buf).await),
            Self::Compressed { depth, mut segments } => {
                let result = match &layers[depth] {
                    Layer::Qcow2 { file, .. } => file.compressed.read(&file.files.image, segments.as_mut_slice()).await,
                    // A raw file has no compressed clusters.
                    Layer::Raw(_) => Ok(()),
                };
                (depth, result)
            }
        };
        result.map_err(|error| error.at_depth(depth_number(depth)))
    }

    /// The number of compressed bytes that the job holds while it runs.
    fn compressed_bytes(&self) -> u64 {
        let Self::Compressed { segments, .. } = self else { return 0 };
        let segments = segments.as_slice();
        let (start, end) =
            (segments.first().map(|first| first.span.start), segments.last().map(|last| last.span.end()));
        end.map_or(0, |end| end.0) - start.map_or(0, |start| start.0)
    }

    /// Merges `next` into this job if one request can serve both. Returns it otherwise.
    fn try_merge(&mut self, next: Job<'a>) -> Option<Job<'a>> {
        match (self, next) {
            (
                Self::Compressed { depth, segments },
                Self::Compressed { depth: next_depth, segments: Segments::One([next]) },
            ) if *depth == next_depth && segments.are_followed_by(&next) => {
                segments.push(next);
                None
            }
            (_, next) => Some(next),
        }
    }
}

impl<'a> Segments<'a> {
    fn as_mut_slice(&mut self) -> &mut [CompressedRead<'a>] {
        match self {
            Self::One(segment) => segment,
            Self::Many(segments) => segments,
        }
    }

    fn as_slice(&self) -> &[CompressedRead<'a>] {
        match self {
            Self::One(segment) => segment,
            Self::Many(segments) => segments,
        }
    }

    /// Whether `next` begins where the last segment ends, within the rounding of a span, and the whole stays small.
    fn are_followed_by(&self, next: &CompressedRead<'_>) -> bool {
        let segments = self.as_slice();
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return false;
        };
        let (start, end) = (first.span.start, last.span.end());
        (last.span.start..=end).contains(&next.span.start) && next.span.end().0 - start.0 <= MAX_GROUP
    }

    fn push(&mut self, segment: CompressedRead<'a>) {
        let mut segments = match core::mem::replace(self, Self::Many(Vec::new())) {
            Self::One(first) => Vec::from(first),
            Self::Many(segments) => segments,
        };
        segments.push(segment);
        *self = Self::Many(segments);
    }
}

/// A read of several runs: a stack of parts to resolve, the next at the end, and the jobs that are ready.
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
            First::Zeroed => {}
            First::Deeper(part) => self.parts.push(part),
            First::Read(job) => {
                let left = match self.jobs.last_mut() {
                    Some(last) => last.try_merge(job),
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

/// Converts a depth: a chain has at most [`Image::MAX_CHAIN`] layers.
pub(super) fn depth_number(depth: usize) -> u32 {
    u32::try_from(depth).unwrap_or(u32::MAX)
}
