//! Writing: the cases, and how they are measured.
//!
//! Everybody writes the same bytes at the same offsets in the same order, and flushes once, after the last write. Where
//! clusters are allocated, the flush and the closing of the file are within the time, for they write what was put off. In
//! place there is nothing of the kind, and how long a disk takes for scattered pages says nothing of who wrote them.
//!
//! The bars are for files on a disk, as images are. In memory a write takes a fifth of the time, and what an engine adds
//! shows best: so that is where it is held against its peers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, now_or_never};

use crate::images::Images;
use crate::report::{Bar, Report};
use crate::workload::Buffer;
use crate::writer::{ALL, Contender, RAW};
use crate::{Options, stop};

const CLUSTER: u64 = 64 << 10;
const SAMPLES: usize = 500;
/// Files in memory, on Linux.
const MEMORY: &str = "/dev/shm";
/// The largest disk: a step of the scattered writes has to stay below 2 GiB.
const MOST: u64 = 128 << 20;
/// One in so many of the disk's 4 KiB is written to.
const FEWER: usize = 4;

/// One line of the table for each contender.
struct Case {
    name: &'static str,
    start: Start,
    order: Order,
    length: u64,
    medium: Medium,
    bars: &'static [Bar],
}

/// Where the files are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Medium {
    Disk,
    Memory,
}

/// What is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// An empty image, or a file that is one hole.
    Empty,
    /// An image of which every cluster is allocated, or a file without holes.
    Allocated,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Sequential,
    /// By a step that comes by everywhere: once in each cluster of an empty image, so that each write allocates.
    Scattered,
}

const CASES: [Case; 6] = [
    Case {
        name: "write sequential 1 MiB, allocating",
        start: Start::Empty,
        order: Order::Sequential,
        length: 1 << 20,
        medium: Medium::Disk,
        bars: &[Bar::OfRaw(0.97)],
    },
    Case {
        name: "write scattered 4 KiB, allocating",
        start: Start::Empty,
        order: Order::Scattered,
        length: 4096,
        medium: Medium::Disk,
        bars: &[Bar::OfRaw(1.24)],
    },
    Case {
        name: "write sequential 1 MiB, in place",
        start: Start::Allocated,
        order: Order::Sequential,
        length: 1 << 20,
        medium: Medium::Disk,
        bars: &[Bar::OfRaw(1.1)],
    },
    Case {
        name: "write scattered 4 KiB, in place",
        start: Start::Allocated,
        order: Order::Scattered,
        length: 4096,
        medium: Medium::Disk,
        bars: &[Bar::OfRaw(1.1)],
    },
    Case {
        name: "write scattered 4 KiB, allocating, in memory",
        start: Start::Empty,
        order: Order::Scattered,
        length: 4096,
        medium: Medium::Memory,
        bars: &[Bar::OfRaw(1.24), Bar::AheadOfPeers],
    },
    Case {
        name: "write scattered 4 KiB, in place, in memory",
        start: Start::Allocated,
        order: Order::Scattered,
        length: 4096,
        medium: Medium::Memory,
        bars: &[Bar::AheadOfPeers],
    },
];

/// What is written.
pub(crate) struct Writes {
    disk: u64,
    pub(crate) length: u64,
    pub(crate) count: usize,
    step: u64,
    /// The flush is within the time.
    pub(crate) flush_counts: bool,
}

impl Writes {
    /// For a disk of `size` bytes, which scattered writes don't fill: the storage takes long to put them in order.
    fn new(case: &Case, size: u64) -> Self {
        let flush_counts = case.start == Start::Empty;
        let scattered = case.order == Order::Scattered;
        let count = (size / case.length) as usize / if scattered { FEWER } else { 1 };
        let grain = if case.start == Start::Empty { CLUSTER } else { case.length };
        match case.order {
            Order::Sequential => Self { disk: size, length: case.length, count, step: case.length, flush_counts },
            Order::Scattered => {
                let disk = if case.start == Start::Empty { count as u64 * grain } else { size };
                // An odd multiple: where the disk has a power of two of grains, it comes by each of them. `qemu-img bench`
                // takes less than 2 GiB.
                let step = (((disk as f64 * 0.381_966) as u64 / grain) | 1) * grain;
                Self { disk, length: case.length, count, step, flush_counts }
            }
        }
    }

    pub(crate) fn step(&self) -> u64 {
        self.step
    }

    pub(crate) fn offsets(&self) -> impl Iterator<Item = u64> {
        (0..self.count as u64).map(|index| index * self.step % self.disk)
    }

    pub(crate) fn buffer(&self) -> Buffer {
        let mut buffer = Buffer::new(self.length as usize);
        buffer.fill(0xa5);
        buffer
    }

    /// Makes each write another one.
    pub(crate) fn stamp(&self, buffer: &mut [u8], offset: u64) {
        buffer[..8].copy_from_slice(&(!offset).to_le_bytes());
    }
}

/// The files that are written to, of one medium. They are removed in the end.
struct Files {
    folder: PathBuf,
    images: Images,
}

impl Files {
    /// In memory where the system has a place for that.
    fn prepare(medium: Medium, options: &Options) -> Self {
        let in_memory = medium == Medium::Memory && Path::new(MEMORY).is_dir();
        let folder = if in_memory { Path::new(MEMORY) } else { &options.folder };
        let folder = folder.join(format!("qcow2-web-bench-{}", std::process::id()));
        let images = Images::prepare_allocated(&folder, (options.mebibytes << 20).min(MOST));
        Self { folder, images }
    }

    /// A raw file or an image, ready to be written.
    fn fresh(&self, start: Start, disk: u64, qcow2: bool) -> PathBuf {
        let empty = self.folder.join("empty");
        match (start, qcow2) {
            (Start::Allocated, true) => self.images.qcow2("allocated"),
            (Start::Allocated, false) => self.images.raw("allocated"),
            (Start::Empty, true) => {
                remove(&empty);
                let mut create = Command::new("qemu-img");
                create.args(["create", "-q", "-f", "qcow2"]).arg(&empty).arg(disk.to_string());
                let created = create.status();
                assert!(created.is_ok_and(|status| status.success()), "qemu-img create failed");
                empty
            }
            (Start::Empty, false) => {
                remove(&empty);
                let file = File::create(&empty).expect("the folder can be written");
                file.set_len(disk).expect("a hole can be made");
                empty
            }
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What can't be removed is only in the way.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn remove(path: &Path) {
    if path.exists() {
        fs::remove_file(path).expect("the folder can be written");
    }
}

/// Measures the cases that are wanted; whether all bars hold.
pub(crate) fn run(options: &Options) -> bool {
    let mut missed = 0;
    for medium in [Medium::Disk, Medium::Memory] {
        let is_wanted = |case: &&Case| case.medium == medium && options.includes(case.name);
        let cases: Vec<_> = CASES.iter().filter(is_wanted).collect();
        if cases.is_empty() {
            continue;
        }
        let files = Files::prepare(medium, options);
        missed += cases.iter().filter(|case| !measure(case, &files, options.rounds)).count();
    }
    missed == 0
}

/// Measures a case and prints its table; whether the bars hold.
fn measure(case: &Case, files: &Files, rounds: usize) -> bool {
    let writes = Writes::new(case, files.images.size);
    if case.start == Start::Allocated {
        files.images.warm("allocated");
    }
    let mut report = Report::new(case.name);
    let measure_raw = || {
        let path = files.fresh(case.start, writes.disk, false);
        RAW.measure(&path, &writes).unwrap_or_else(|why| stop(&why))
    };
    measure_raw();
    let measure = |contender: &Contender| {
        let path = files.fresh(case.start, writes.disk, true);
        contender.measure(&path, &writes).map(|time| (time, path))
    };
    let works = |contender: &&Contender| match measure(contender)
        .and_then(|(_, path)| verify(&path, contender.stamps().then_some(&writes)))
    {
        Ok(()) => true,
        Err(why) => {
            report.refused(contender.name, &why);
            false
        }
    };
    let contenders: Vec<_> = ALL.iter().filter(works).collect();
    for _ in 0..rounds {
        let mut before = measure_raw();
        for contender in &contenders {
            let (time, _) = measure(contender).unwrap_or_else(|why| stop(&why));
            let after = measure_raw();
            report.add(contender.name, time, (before + after) / 2.0);
            before = after;
        }
    }
    report.print(writes.count, writes.length as usize, case.bars)
}

/// QEMU finds nothing wrong, and some of what was written is there.
fn verify(path: &Path, writes: Option<&Writes>) -> Result<(), String> {
    let check = Command::new("qemu-img").args(["check", "-q", "-f", "qcow2"]).arg(path).output();
    let check = check.map_err(|error| error.to_string())?;
    if !check.status.success() {
        return Err(format!("qemu-img check: {}", String::from_utf8_lossy(&check.stderr).trim()));
    }
    let Some(writes) = writes else { return Ok(()) };
    let storage = FileStorage::open(path).map_err(|error| error.to_string())?;
    let image = now_or_never(Image::open(storage, OpenOptions::new())).expect("files are always ready");
    let image = image.map_err(|error| error.to_string())?;
    let [mut found, mut expected] = [writes.buffer(), writes.buffer()];
    for offset in writes.offsets().step_by((writes.count / SAMPLES).max(1)) {
        now_or_never(image.read_at(offset, &mut found))
            .expect("files are always ready")
            .map_err(|error| error.to_string())?;
        writes.stamp(&mut expected, offset);
        if *found != *expected {
            return Err(format!("what was written at {offset} is not there"));
        }
    }
    Ok(())
}
