//! Clusters as far in the file as their entries can tell, and farther.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;

use qcow2_web::{Image, OpenOptions, Storage, StorageMut};

use crate::common::builder::{Builder, field};
use crate::common::random::Random;
use crate::common::reading::{now, range};
use crate::common::{MIB, index};

const CLUSTER: u64 = 2 * MIB;
/// Where the offsets of compressed clusters end, with clusters of 2 MiB.
const FAR: u64 = 1 << 49;
/// Four reference counts of 2 bits, each of them 1.
const ONES: u8 = 0b0101_0101;

/// A file of which little is held: the pages that were written. In `counts` all others are full of `ones`: reference counts
/// of 1.
pub struct Sparse {
    size: Cell<u64>,
    counts: Range<u64>,
    ones: [u8; 8],
    pages: RefCell<BTreeMap<u64, Vec<u8>>>,
}

impl Sparse {
    const PAGE: u64 = 512;

    pub fn new(size: u64, counts: Range<u64>, ones: [u8; 8]) -> Self {
        Self { size: Cell::new(size), counts, ones, pages: RefCell::default() }
    }

    /// A page as it was before it was written.
    fn untouched(&self, page: u64) -> Vec<u8> {
        let ones = if self.counts.contains(&(page * Self::PAGE)) { self.ones } else { [0; 8] };
        ones.repeat(index(Self::PAGE) / 8)
    }

    /// Hands the parts of the pages at `offset` to `each`, with what part of the `length` bytes each is.
    fn parts(offset: u64, length: usize, mut each: impl FnMut(u64, usize, Range<usize>)) {
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let within = index(at % Self::PAGE);
            let count = (length - done).min(index(Self::PAGE) - within);
            each(at / Self::PAGE, within, done..done + count);
            done += count;
        }
    }
}

impl Storage for Sparse {
    type Error = Infallible;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Infallible> {
        let pages = self.pages.borrow();
        Self::parts(offset, buf.len(), |page, within, part| {
            let untouched = self.untouched(page);
            let held = pages.get(&page).unwrap_or(&untouched);
            let count = part.len();
            buf[part].copy_from_slice(&held[within..within + count]);
        });
        Ok(())
    }

    async fn size(&self) -> Result<u64, Infallible> {
        Ok(self.size.get())
    }
}

impl StorageMut for Sparse {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Infallible> {
        let mut pages = self.pages.borrow_mut();
        Self::parts(offset, buf.len(), |page, within, part| {
            let held = pages.entry(page).or_insert_with(|| self.untouched(page));
            held[within..within + part.len()].copy_from_slice(&buf[part]);
        });
        self.size.set(self.size.get().max(offset + buf.len() as u64));
        Ok(())
    }

    async fn set_size(&self, size: u64) -> Result<(), Infallible> {
        self.size.set(size);
        Ok(())
    }

    async fn flush(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// An image of `disk` clusters whose file is in use up to `free`; a few clusters behind that have counts, of 0.
fn full_up_to(free: u64, disk: u64) -> Sparse {
    let built = Builder::new(CLUSTER, disk * CLUSTER).build().set_u32(field::REFCOUNT_ORDER, 1);
    let table = built.u64_at(field::REFCOUNT_TABLE_OFFSET);
    let first_block = built.bytes.len() as u64;
    let (full, more) = (free / CLUSTER / 4, free / CLUSTER % 4);
    let counts = first_block..first_block + full;
    let last_page = index(counts.end.next_multiple_of(Sparse::PAGE) - counts.end);
    let sparse = Sparse::new(free, counts.clone(), [ONES; 8]);
    now(sparse.write_at(0, &built.bytes)).unwrap();
    if last_page > 0 {
        now(sparse.write_at(counts.end, &vec![0; last_page])).unwrap();
        now(sparse.write_at(counts.end, &[ONES & ((1 << (2 * more)) - 1)])).unwrap();
    }
    for block in 0..=(full + 8) / CLUSTER {
        now(sparse.write_at(table + 8 * block, &(first_block + block * CLUSTER).to_be_bytes())).unwrap();
    }
    sparse
}

fn host(image: &Image<Sparse>, guest_cluster: u64) -> Option<u64> {
    now(image.locate(guest_cluster * CLUSTER)).unwrap().host_offset
}

#[test]
fn a_compressed_cluster_farther_than_an_entry_can_tell() {
    let image = now(Image::open_writable(full_up_to(FAR, 2), OpenOptions::new())).unwrap();
    let cluster = vec![7; index(CLUSTER)];
    now(image.write_at(0, &cluster)).unwrap();
    // The L2 table is there already, and the refcounts are in a block of the file.
    assert_eq!(host(&image, 0), Some(FAR + CLUSTER));
    for _ in 0..2 {
        let error = now(image.write_compressed(CLUSTER, &cluster)).unwrap_err();
        assert_eq!((error.code(), host(&image, 1)), ("IMAGE_FULL", None));
        now(image.flush()).unwrap();
    }
    // What it had taken is free: a plain cluster goes there, behind the L2 table.
    now(image.write_at(CLUSTER, &cluster)).unwrap();
    assert_eq!(host(&image, 1), Some(FAR + 2 * CLUSTER));
    assert!(now(range(&image, CLUSTER, CLUSTER)).unwrap() == cluster);
}

#[test]
fn the_last_compressed_cluster_that_an_entry_can_tell() {
    let image = now(Image::open_writable(full_up_to(FAR - 4 * CLUSTER, 5), OpenOptions::new())).unwrap();
    // It packs to three quarters: the third begins before the end, and reaches past it.
    let mut cluster = Random::seeded(1).noise(index(CLUSTER));
    cluster[index(CLUSTER / 4 * 3)..].fill(0);
    now(image.write_at(0, &cluster)).unwrap();
    for guest in 1..4 {
        now(image.write_compressed(guest * CLUSTER, &cluster)).unwrap();
    }
    assert!(host(&image, 3).is_some_and(|place| place < FAR && place > FAR - CLUSTER));
    assert_eq!(now(image.write_compressed(4 * CLUSTER, &cluster)).unwrap_err().code(), "IMAGE_FULL");
    now(image.flush()).unwrap();
    for guest in 0..4 {
        assert!(now(range(&image, guest * CLUSTER, CLUSTER)).unwrap() == cluster, "{guest}");
    }
}
