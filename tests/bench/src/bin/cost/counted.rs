//! Counting: requests of a storage, bytes that it transfers, and allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use qcow2_web::{Storage, StorageMut};

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// A storage that counts what is asked of it.
pub(crate) struct Counted<S> {
    storage: S,
    counts: Cell<Counts>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    reads: u64,
    writes: u64,
    barriers: u64,
    bytes: u64,
}

impl<S> Counted<S> {
    pub(crate) fn new(storage: S) -> Self {
        Self { storage, counts: Cell::default() }
    }

    /// Prints what `body` costs, divided by `times`.
    pub(crate) fn measure<T>(&self, title: &str, times: u64, body: impl FnOnce() -> T) -> T {
        self.counts.set(Counts::default());
        let allocations = ALLOCATIONS.load(Relaxed);
        let result = body();
        let allocations = ALLOCATIONS.load(Relaxed) - allocations;
        let Counts { reads, writes, barriers, bytes } = self.counts.get();
        let [reads, writes, barriers, bytes, allocations] =
            [reads, writes, barriers, bytes, allocations].map(|count| count as f64 / times as f64);
        println!("{title:<44}{reads:>8.3}{writes:>8.3}{barriers:>10.3}{bytes:>10.0}{allocations:>13.3}");
        result
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }
}

pub(crate) fn print_heading() {
    let [reads, writes, barriers, bytes, allocations] = ["reads", "writes", "barriers", "bytes", "allocations"];
    println!("{:<44}{reads:>8}{writes:>8}{barriers:>10}{bytes:>10}{allocations:>13}", "for each");
}

impl<S: Storage> Storage for Counted<S> {
    type Error = S::Error;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), S::Error> {
        self.count(|counts| (counts.reads, counts.bytes) = (counts.reads + 1, counts.bytes + buf.len() as u64));
        self.storage.read_at(offset, buf).await
    }

    async fn size(&self) -> Result<u64, S::Error> {
        self.storage.size().await
    }
}

impl<S: StorageMut> StorageMut for Counted<S> {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), S::Error> {
        self.count(|counts| (counts.writes, counts.bytes) = (counts.writes + 1, counts.bytes + buf.len() as u64));
        self.storage.write_at(offset, buf).await
    }

    async fn set_size(&self, size: u64) -> Result<(), S::Error> {
        self.count(|counts| counts.writes += 1);
        self.storage.set_size(size).await
    }

    async fn flush(&self) -> Result<(), S::Error> {
        self.count(|counts| counts.barriers += 1);
        self.storage.flush().await
    }
}
