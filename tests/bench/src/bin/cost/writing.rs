//! What writes cost, and what makes them durable.

use std::rc::Rc;

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{CreateOptions, Image, OpenOptions, now_or_never};

use crate::counted::{Counted, print_heading};

const CLUSTER: u64 = 64 << 10;
const DISK: u64 = 1 << 30;

type File = Rc<Counted<MemoryStorage>>;

/// Prints the table, for a new image in memory.
pub(crate) fn table() {
    let file: File = Rc::new(Counted::new(MemoryStorage::default()));
    now(CreateOptions::new(DISK).write_to(&file, None)).expect("memory does not fail");
    let image = now(Image::open_writable(file.clone(), OpenOptions::new())).expect("it is sound");
    println!();
    print_heading();
    let clusters = |first: u64, count: u64| (first..first + count).map(|cluster| cluster * CLUSTER);
    // Each row has clusters of its own, of one L2 table but for the last.
    file.measure("4 KiB allocating, and a flush", 1000, || write_and_flush(&image, clusters(0, 1000)));
    file.measure("4 KiB in place, and a flush", 1000, || write_and_flush(&image, clusters(0, 1000)));
    file.measure("a flush of nothing", 1000, || (0..1000).for_each(|_| flush(&image)));
    file.measure("4 KiB allocating, a flush at the end", 1000, || {
        clusters(1000, 1000).for_each(|offset| write(&image, offset, 4096));
        flush(&image);
    });
    file.measure("4 KiB in place, a flush at the end", 1000, || {
        clusters(1000, 1000).for_each(|offset| write(&image, offset, 4096));
        flush(&image);
    });
    file.measure("1 MiB allocating, a flush at the end", 256, || {
        clusters(2048, 256 * 16).step_by(16).for_each(|offset| write(&image, offset, 1 << 20));
        flush(&image);
    });
}

fn write_and_flush(image: &Image<File>, offsets: impl Iterator<Item = u64>) {
    for offset in offsets {
        write(image, offset, 4096);
        flush(image);
    }
}

fn write(image: &Image<File>, offset: u64, length: usize) {
    static BYTES: [u8; 1 << 20] = [0xa5; 1 << 20];
    now(image.write_at(offset, &BYTES[..length])).expect("memory does not fail");
}

fn flush(image: &Image<File>) {
    now(image.flush()).expect("memory does not fail");
}

fn now<F: Future>(future: F) -> F::Output {
    now_or_never(future).expect("memory is always ready")
}
