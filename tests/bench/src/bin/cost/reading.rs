//! What reads cost.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::rc::Rc;

use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, now_or_never};

use crate::counted::{Counted, print_heading};
use crate::random::Random;

const READS: [(&str, usize, u64); 7] = [
    ("allocated", 4096, 20_000),
    ("allocated", 1 << 20, 500),
    ("sparse", 4096, 20_000),
    ("deflate", 4096, 500),
    ("deflate", 1 << 20, 100),
    ("zstd", 4096, 500),
    ("zstd", 1 << 20, 100),
];

/// Prints the table, for the images that the benchmark made.
pub(crate) fn table() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/512-mib");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let huge = folder.join("1-tib.qcow2");
    let made = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&huge).arg("1T").status();
    assert!(made.is_ok_and(|status| status.success()), "qemu-img create failed");
    print_heading();
    let file = Rc::new(file_at(&huge));
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

fn file_at(path: &Path) -> Counted<FileStorage> {
    Counted::new(FileStorage::open(path).unwrap_or_else(|error| {
        eprintln!("{}: {error}; `npm run bench -- native` makes it", path.display());
        exit(1)
    }))
}

pub(crate) fn open(path: &Path) -> (Rc<Counted<FileStorage>>, Image<Rc<Counted<FileStorage>>>) {
    let file = Rc::new(file_at(path));
    let image = open_over(&file);
    (file, image)
}

fn open_over(file: &Rc<Counted<FileStorage>>) -> Image<Rc<Counted<FileStorage>>> {
    now_or_never(Image::open(file.clone(), OpenOptions::new())).expect("files are always ready").expect("it is sound")
}

pub(crate) fn read_randomly(image: &Image<Rc<Counted<FileStorage>>>, length: usize, reads: u64) {
    let mut random = Random::seeded(7);
    let mut buf = vec![0; length];
    for _ in 0..reads {
        read(image, random.below(image.size() / length as u64) * length as u64, &mut buf);
    }
}

fn read(image: &Image<Rc<Counted<FileStorage>>>, offset: u64, buf: &mut [u8]) {
    now_or_never(image.read_at(offset, buf)).expect("files are always ready").expect("it is sound");
}
