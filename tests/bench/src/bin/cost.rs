//! What operations cost, counted: requests of the storage, bytes that it transfers, and allocations.
//!
//! `cost` prints the table, for the images that the benchmark made; `cost IMAGE` reads that one at random, for a profiler.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, Storage, now_or_never};

#[path = "../random.rs"]
mod random;

use random::Random;

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

/// A file that counts what is asked of it.
struct Counted {
    file: FileStorage,
    requests: Cell<u64>,
    bytes: Cell<u64>,
}

impl Storage for Counted {
    type Error = io::Error;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.requests.set(self.requests.get() + 1);
        self.bytes.set(self.bytes.get() + buf.len() as u64);
        self.file.read_at(offset, buf).await
    }

    async fn size(&self) -> io::Result<u64> {
        self.file.size().await
    }
}

const READS: [(&str, usize, u64); 7] = [
    ("allocated", 4096, 20_000),
    ("allocated", 1 << 20, 500),
    ("sparse", 4096, 20_000),
    ("deflate", 4096, 500),
    ("deflate", 1 << 20, 100),
    ("zstd", 4096, 500),
    ("zstd", 1 << 20, 100),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => table(),
        [image] => {
            let (_, image) = open(Path::new(image));
            read_randomly(&image, 4096, 1_000_000);
        }
        _ => {
            eprintln!("usage: cost [IMAGE]");
            exit(2)
        }
    }
}

fn table() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/512-mib");
    let huge = folder.join("1-tib.qcow2");
    let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&huge).arg("1T").status();
    assert!(made.is_ok_and(|status| status.success()), "qemu-img create failed");
    println!("{:<44}{:>10}{:>12}{:>13}", "for each", "requests", "bytes", "allocations");
    let file = Rc::new(Counted::open(&huge));
    let image = file.measure("open an image of 1 TiB", 1, || open_over(&file));
    file.measure("its first read, 4 KiB", 1, || read(&image, 1 << 39, &mut [0; 4096]));
    for (name, length, reads) in READS {
        let (file, image) = open(&folder.join(format!("{name}.qcow2")));
        for pass in ["first", "warm"] {
            let title = format!("{name}, random {} KiB, {pass}", length >> 10);
            file.measure(&title, reads, || read_randomly(&image, length, reads));
        }
    }
}

impl Counted {
    fn open(path: &Path) -> Self {
        let file = FileStorage::open(path).unwrap_or_else(|error| {
            eprintln!("{}: {error}; the benchmark makes it", path.display());
            exit(1)
        });
        Self { file, requests: Cell::new(0), bytes: Cell::new(0) }
    }

    /// Prints what `body` costs, divided by `times`.
    fn measure<T>(&self, title: &str, times: u64, body: impl FnOnce() -> T) -> T {
        let counts = || [self.requests.get(), self.bytes.get(), ALLOCATIONS.load(Relaxed)];
        let before = counts();
        let result = body();
        let after = counts();
        let [requests, bytes, allocations] =
            [0, 1, 2].map(|count| (after[count] - before[count]) as f64 / times as f64);
        println!("{title:<44}{requests:>10.3}{bytes:>12.0}{allocations:>13.3}");
        result
    }
}

fn open(path: &Path) -> (Rc<Counted>, Image<Rc<Counted>>) {
    let file = Rc::new(Counted::open(path));
    let image = open_over(&file);
    (file, image)
}

fn open_over(file: &Rc<Counted>) -> Image<Rc<Counted>> {
    now_or_never(Image::open(file.clone(), OpenOptions::new())).expect("files are always ready").expect("it is sound")
}

fn read_randomly(image: &Image<Rc<Counted>>, length: usize, reads: u64) {
    let mut random = Random::seeded(7);
    let mut buf = vec![0; length];
    for _ in 0..reads {
        read(image, random.below(image.size() / length as u64) * length as u64, &mut buf);
    }
}

fn read(image: &Image<Rc<Counted>>, offset: u64, buf: &mut [u8]) {
    now_or_never(image.read_at(offset, buf)).expect("files are always ready").expect("it is sound");
}
