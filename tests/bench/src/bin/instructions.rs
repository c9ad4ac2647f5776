//! One operation, many times, for callgrind: `instructions OPERATION TIMES`.
//!
//! `npm run bench -- instructions` runs each operation twice and prints the difference for one of them, so that what
//! opening an image takes doesn't count. The storage keeps metadata and drops data, so that a copy doesn't count either.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::process::exit;

use qcow2_web::{CreateOptions, Image, OpenOptions, Storage, StorageMut, now_or_never};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const DISK: u64 = 4096 * MIB;

/// Bytes in memory; while `drops_data` is set, nothing is copied.
#[derive(Default)]
struct Hollow {
    bytes: RefCell<Vec<u8>>,
    size: Cell<u64>,
    drops_data: Cell<bool>,
}

impl Storage for Hollow {
    type Error = Infallible;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Infallible> {
        if !self.drops_data.get() {
            let bytes = self.bytes.borrow();
            let start = (offset as usize).min(bytes.len());
            let end = (start + buf.len()).min(bytes.len());
            buf[..end - start].copy_from_slice(&bytes[start..end]);
        }
        Ok(())
    }

    async fn size(&self) -> Result<u64, Infallible> {
        Ok(self.size.get())
    }
}

impl StorageMut for Hollow {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Infallible> {
        let end = offset + buf.len() as u64;
        if end > self.size.get() {
            self.size.set(end);
        }
        if !self.drops_data.get() {
            let mut bytes = self.bytes.borrow_mut();
            if bytes.len() < end as usize {
                bytes.resize(end as usize, 0);
            }
            bytes[offset as usize..end as usize].copy_from_slice(buf);
        }
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

fn now<T>(future: impl Future<Output = T>) -> T {
    now_or_never(future).expect("the storage is always ready")
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [operation, times] = &arguments[..] else {
        eprintln!("usage: instructions OPERATION TIMES");
        exit(2)
    };
    let times: u64 = times.parse().expect("TIMES is a number");
    let storage = Hollow::default();
    now(CreateOptions::new(DISK).write_to(&storage, None)).expect("the options are sound");
    let cache = if operation == "cold-read" { 16 << 10 } else { 32 << 20 };
    let image = now(Image::open_writable(&storage, OpenOptions::new().table_cache(cache))).expect("it is sound");
    let mut buf = vec![1; MIB as usize];
    let page = &mut vec![1; 4096][..];
    // What follows is not allocated.
    let data = 256 * MIB;
    if operation == "sequential-read" {
        for at in (0..data).step_by(MIB as usize) {
            now(image.write_at(at, &vec![1; MIB as usize])).expect("there is room");
        }
    } else {
        for at in (0..data).step_by(64 << 10) {
            now(image.write_at(at, page)).expect("there is room");
        }
    }
    now(image.flush()).expect("there is room");
    storage.drops_data.set(operation != "cold-read");
    let mut random = 1_u64;
    let mut next = |limit: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 20) % limit
    };
    for index in 0..times {
        let cluster = next(data / (64 * KIB)) * 64 * KIB;
        match &operation[..] {
            "read" | "cold-read" => now(image.read_at(cluster, page)),
            "write" => now(image.write_at(cluster, page)),
            "allocate" => now(image.write_at(data + index * 64 * KIB, page)),
            "sequential-read" => now(image.read_at(index * MIB % data, &mut buf)),
            _ => {
                eprintln!("read, cold-read, sequential-read, write or allocate");
                exit(2)
            }
        }
        .expect("the image is sound");
    }
}
