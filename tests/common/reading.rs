//! Opening and reading, in words short enough for a test's sentence.

use qcow2_web::{
    BackingFile, BackingRequest, BackingResolver, Error, Extent, Image, Map, NoBacking, OpenOptions, Storage, Supply,
    now_or_never,
};

use super::disk::Disk;
use super::index;
use super::random::Random;

pub type DiskError = Error<std::io::Error>;

/// What a future over a storage that is always ready gives at its first poll.
pub fn now<F: Future>(future: F) -> F::Output {
    now_or_never(future).expect("a storage that is always ready makes no future wait")
}

/// Opens an image that stands alone.
pub fn open(disk: &Disk) -> Result<Image<Disk>, DiskError> {
    now(Image::open(disk.clone(), OpenOptions::new()))
}

/// Opens an image with the smallest caches that there are.
pub fn frugal<S, R>(options: OpenOptions<S, R>) -> OpenOptions<S, R> {
    options.table_cache(0).cluster_cache(0)
}

/// The whole disk, by one read.
pub async fn whole<S: Storage>(image: &Image<S>) -> Result<Vec<u8>, Error<S::Error>> {
    range(image, 0, image.size()).await
}

pub async fn range<S: Storage>(image: &Image<S>, offset: u64, length: u64) -> Result<Vec<u8>, Error<S::Error>> {
    // Not zeros: what is not filled has to show.
    let mut bytes = vec![0xee; index(length)];
    image.read_at(offset, &mut bytes).await?;
    Ok(bytes)
}

pub async fn extents<S: Storage>(image: &Image<S>) -> Result<Vec<Extent>, Error<S::Error>> {
    let mut map: Map<S> = image.map(0, image.size())?;
    let mut extents = Vec::new();
    while let Some(extent) = map.next().await? {
        extents.push(extent);
    }
    Ok(extents)
}

/// Says where two disks differ, rather than what all of their bytes are.
#[track_caller]
pub fn assert_same(ours: &[u8], expected: &[u8], what: &str) {
    assert_eq!(ours.len(), expected.len(), "{what}: the length");
    if let Some(at) = ours.iter().zip(expected).position(|(ours, expected)| ours != expected) {
        let end = (at + 16).min(ours.len());
        panic!("{what}: byte {at:#x} on is {:02x?}, but should be {:02x?}", &ours[at..end], &expected[at..end]);
    }
}

/// Whether a sentence about an image has the offsets in its file as hexadecimal numbers.
pub fn has_hexadecimal_offsets(sentence: &str) -> bool {
    sentence.split("offset ").skip(1).all(|rest| rest.starts_with("0x"))
}

/// Ranges of a disk: many small ones, some large, some at its very end.
pub fn ranges(random: &mut Random, size: u64, count: usize) -> Vec<(u64, u64)> {
    let one = |_| {
        let limit = random.pick(&[1, 16, 512, 4096, 65_536, (size / 3).min(3 << 20)]).clamp(1, size.max(1));
        let length = random.below(limit + 1).min(size);
        let last = size - length;
        let offset = if random.one_in(8) { last } else { random.below(last + 1) };
        (offset, length)
    };
    (0..count).map(one).collect()
}

/// Supplies the same storage for ever, and counts how often it was asked.
pub struct Always {
    pub disk: Disk,
    pub asked: u32,
}

impl BackingResolver<Disk> for &mut Always {
    async fn resolve(&mut self, _request: BackingRequest<'_>) -> Result<Supply<Disk>, std::io::Error> {
        self.asked += 1;
        Ok(Supply::File(BackingFile::from(self.disk.clone())))
    }
}

/// Options for an image that stands alone.
pub fn alone() -> OpenOptions<Disk, NoBacking> {
    OpenOptions::new()
}

#[track_caller]
pub fn refused<T>(result: Result<T, DiskError>) -> DiskError {
    match result {
        Ok(_) => panic!("it should have been refused"),
        Err(error) => error,
    }
}
