//! The allocation map of the disk, as `qemu-img map` reports it.

use futures_util::stream::{self, Stream};

use super::depth_number;
use crate::error::{Error, Misuse};
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::layer::Layer;
use crate::meta::run::Mapping;
use crate::storage::Storage;

/// Consecutive bytes of the disk with the same state. The fields mean the same as in `qemu-img map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are the independent flags of `qemu-img map`")]
pub struct Extent {
    /// The guest offset of the extent in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The index of the file in the backing chain that provides it: 0 is the image itself.
    pub depth: u32,
    /// Whether a file of the chain maps it, as data or as zeros.
    pub present: bool,
    /// Whether it reads as zeros.
    pub zero: bool,
    /// Whether it is allocated data.
    pub data: bool,
    /// Whether it is in compressed clusters.
    pub compressed: bool,
    /// Its host offset in that file (or that file's data file), if it is contiguous there.
    pub offset: Option<u64>,
}

impl Extent {
    fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Appends `next`, which begins where this one ends, if the two have the same state. Returns whether it did.
    fn try_extend(&mut self, next: &Extent) -> bool {
        let kind = |extent: &Extent| {
            (extent.depth, extent.present, extent.zero, extent.data, extent.compressed, extent.offset.is_some())
        };
        let is_contiguous = self.offset.is_none_or(|offset| Some(offset.saturating_add(self.length)) == next.offset);
        let continues = kind(self) == kind(next) && is_contiguous;
        if continues {
            self.length += next.length;
        }
        continues
    }
}

/// The extents of a part of the disk, in order. Returned by [`Image::map`].
#[derive(Debug)]
pub struct Map<S: Storage> {
    image: Image<S>,
    position: u64,
    end: u64,
    /// An extent that may still grow.
    pending: Option<Extent>,
}

/// The result of one step of a [`Map`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A complete extent.
    Extent(Extent),
    /// No complete extent yet; the map is known up to `position`, in bytes of the disk.
    Working {
        /// The guest offset at which the next step continues.
        position: u64,
    },
    /// There are no more extents.
    Done,
}

impl<S: Storage> Image<S> {
    /// Returns the extents of the `length` bytes at `offset` of the disk.
    pub fn map(&self, offset: u64, length: u64) -> Result<Map<S>, Error<S::Error>> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size() => Ok(Map { image: self.clone(), position: offset, end, pending: None }),
            _ => Err(Misuse::OutOfBounds { offset, length, size: self.size() }.into()),
        }
    }
}

impl<S: Storage> Map<S> {
    /// Returns the next extent, as long as possible, or `None` after the last one.
    ///
    /// Reads all the tables that the extent spans, which may be many. [`Map::step`] does the same in small steps.
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

    /// Advances by one run of one layer, and returns soon for any image.
    ///
    /// Neither an error nor dropping the future advances the map.
    pub async fn step(&mut self) -> Result<Step, Error<S::Error>> {
        let _request = self.image.top.begin_request().await;
        // The disk may have become smaller.
        self.end = self.end.min(self.image.size());
        if self.position >= self.end {
            return Ok(self.pending.take().map_or(Step::Done, Step::Extent));
        }
        let found = match extent_at(&self.image.layers, self.position, self.end - self.position).await {
            Ok(found) => found,
            // Return the known extent first; the next step reports the error again.
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

/// Returns the extent at `start`, of at most `limit` bytes. The same state may continue after its end.
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
            // Past the end of a backing file there are zeros, which QEMU attributes to the file above it.
            break;
        }
        extent.depth = depth_number(depth);
        let limit = extent.length.min(available);
        let run = layer.run_at(GuestOffset(start), limit).await.map_err(|error| error.at_depth(extent.depth))?;
        extent.length = run.length;
        let (present, zero, data) = match run.mapping {
            Mapping::Unallocated(host) => {
                extent.offset = host.map(|host| host.0);
                continue;
            }
            Mapping::Zero(_) => (true, true, false),
            Mapping::Data(_) | Mapping::Compressed(_) => (true, false, true),
        };
        extent.compressed = matches!(run.mapping, Mapping::Compressed(_));
        extent.offset = match run.mapping {
            Mapping::Data(host) | Mapping::Zero(Some(host)) => Some(host.0),
            _ => None,
        };
        return Ok(Extent { present, zero, data, ..extent });
    }
    Ok(extent)
}
