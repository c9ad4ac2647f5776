//! What each part of the disk is made of, as `qemu-img map` tells it.

use futures_util::stream::{self, Stream};

use super::depth_number;
use crate::error::{Error, Misuse};
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::layer::Layer;
use crate::meta::run::Mapping;
use crate::storage::Storage;

/// Consecutive bytes of the disk that are made of the same. The fields have the meaning of `qemu-img map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are what `qemu-img` tells, each on its own")]
pub struct Extent {
    /// Where it begins on the disk, in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Which file of the chain it comes from: 0 is the image itself.
    pub depth: u32,
    /// A file of the chain holds it: as data, or as zeros.
    pub present: bool,
    /// It reads as zeros.
    pub zero: bool,
    /// It is held as data.
    pub data: bool,
    /// It is held in compressed clusters.
    pub compressed: bool,
    /// Where it begins in that file (or that file's data file), where it has one place.
    pub offset: Option<u64>,
}

impl Extent {
    fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Appends `next`, which begins where this one ends, if the two are one.
    fn try_extend(&mut self, next: &Extent) -> bool {
        let kind = |extent: &Extent| {
            (extent.depth, extent.present, extent.zero, extent.data, extent.compressed, extent.offset.is_some())
        };
        let places_continue = self.offset.is_none_or(|offset| Some(offset.saturating_add(self.length)) == next.offset);
        let continues = kind(self) == kind(next) && places_continue;
        if continues {
            self.length += next.length;
        }
        continues
    }
}

/// The extents of a part of the disk, in order; made by [`Image::map`].
#[derive(Debug)]
pub struct Map<S: Storage> {
    image: Image<S>,
    position: u64,
    end: u64,
    /// What has been found, and may go on.
    pending: Option<Extent>,
}

/// What one step of a [`Map`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An extent that is complete.
    Extent(Extent),
    /// No complete extent yet; the map is known up to `position`, in bytes of the disk.
    Working {
        /// Where the next step goes on.
        position: u64,
    },
    /// There are no more.
    Done,
}

impl<S: Storage> Image<S> {
    /// The extents of `length` bytes of the disk from `offset` on.
    pub fn map(&self, offset: u64, length: u64) -> Result<Map<S>, Error<S::Error>> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size() => Ok(Map { image: self.clone(), position: offset, end, pending: None }),
            _ => Err(Misuse::OutOfBounds { offset, length, size: self.size() }.into()),
        }
    }
}

impl<S: Storage> Map<S> {
    /// The next extent, as long as can be; `None` behind the last.
    ///
    /// Reads all the tables that the extent spans, which may be many. [`Map::step`] does it in small steps.
    pub async fn next(&mut self) -> Result<Option<Extent>, Error<S::Error>> {
        loop {
            match self.step().await? {
                Step::Extent(extent) => return Ok(Some(extent)),
                Step::Working { .. } => {}
                Step::Done => return Ok(None),
            }
        }
    }

    /// Returns the extents as a stream, which ends after an error.
    ///
    /// ```
    /// # use qcow2_web::{CreateOptions, OpenOptions, blocking::wait, storage::MemoryStorage};
    /// # use futures_util::TryStreamExt;
    /// # use std::rc::Rc;
    /// # let file = Rc::new(MemoryStorage::default());
    /// # let image = wait(CreateOptions::new(1 << 20).create(file, OpenOptions::new()))?;
    /// wait(image.write_at(1 << 18, &[7; 65536]))?;
    /// let data = image.map(0, image.size())?.into_stream().try_filter(|extent| std::future::ready(extent.data));
    /// let data: Vec<_> = wait(data.map_ok(|extent| (extent.start, extent.length)).try_collect())?;
    /// assert_eq!(data, [(1 << 18, 65536)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<Extent, Error<S::Error>>> {
        stream::try_unfold(self, |mut map| async move { Ok(map.next().await?.map(|extent| (extent, map))) })
    }

    /// Goes on by one run of one layer, and comes back soon on any image.
    ///
    /// An error doesn't move the map; dropping the future neither.
    pub async fn step(&mut self) -> Result<Step, Error<S::Error>> {
        let _request = self.image.top.begin_request().await;
        // The disk may have become smaller.
        self.end = self.end.min(self.image.size());
        if self.position >= self.end {
            return Ok(self.pending.take().map_or(Step::Done, Step::Extent));
        }
        let found = match extent_at(&self.image.layers, self.position, self.end - self.position).await {
            Ok(found) => found,
            // What is known comes first; the next step meets the error again.
            Err(error) => return self.pending.take().map(Step::Extent).ok_or(error),
        };
        self.position = found.end();
        let Some(pending) = &mut self.pending else {
            self.pending = Some(found);
            return Ok(Step::Working { position: self.position });
        };
        if pending.try_extend(&found) {
            return Ok(Step::Working { position: self.position });
        }
        let complete = *pending;
        self.pending = Some(found);
        Ok(Step::Extent(complete))
    }
}

/// The extent at `start`, of at most `limit` bytes; it may go on behind its end.
pub(in crate::image) async fn extent_at<S: Storage>(
    layers: &[Layer<S>],
    start: u64,
    limit: u64,
) -> Result<Extent, Error<S::Error>> {
    let mut extent = Extent {
        start,
        length: limit,
        depth: 0,
        present: false,
        zero: true,
        data: false,
        compressed: false,
        offset: None,
    };
    for (depth, layer) in layers.iter().enumerate() {
        let available = layer.size().saturating_sub(start);
        if available == 0 {
            // Past the end of a backing file: zeros, which QEMU counts to the file above it.
            break;
        }
        extent.depth = depth_number(depth);
        let limit = extent.length.min(available);
        let run = layer.run_at(GuestOffset(start), limit).await.map_err(|error| error.at_depth(extent.depth))?;
        extent.length = run.length;
        let (present, zero, data) = match run.mapping {
            Mapping::Unallocated(place) => {
                extent.offset = place.map(|place| place.0);
                continue;
            }
            Mapping::Zero(_) => (true, true, false),
            Mapping::Data(_) | Mapping::Compressed(_) => (true, false, true),
        };
        extent.compressed = matches!(run.mapping, Mapping::Compressed(_));
        extent.offset = match run.mapping {
            Mapping::Data(place) | Mapping::Zero(Some(place)) => Some(place.0),
            _ => None,
        };
        return Ok(Extent { present, zero, data, ..extent });
    }
    Ok(extent)
}
