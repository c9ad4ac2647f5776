//! The native benchmark: CPU time of reading qcow2 images, relative to reading the raw file of the same bytes.
//!
//! Every measurement stands between two of the raw file, so that whatever else the machine does weighs on both. CPU
//! time, not elapsed time: a machine that is shared has no other. Linux, with `qemu-img`, `qemu-io` and `tar`.

mod contender;
mod cpu;
mod images;
mod random;
mod report;
mod workload;

use std::path::PathBuf;

use contender::Contender;
use images::Images;
use report::Report;
use workload::{Pattern, Workload};

const USAGE: &str = "options: --size MiB (default 512), --rounds N (default 9), --only NAME (a case), --folder PATH";

/// One line of the table for each contender: an image, how it is read, and what is expected of the engine.
struct Case {
    name: &'static str,
    image: &'static str,
    pattern: Pattern,
    bars: &'static [Bar],
}

/// What is asked of the engine.
enum Bar {
    /// At most so much of the CPU time that reading the raw file takes.
    OfRaw(f64),
    /// The same, of a raw file in small pages: the one that the figures of the field were measured against.
    OfRawInSmallPages(f64),
    /// Less than any peer takes.
    AheadOfPeers,
}

const CASES: [Case; 7] = [
    Case {
        name: "sequential 1 MiB",
        image: "allocated",
        pattern: Pattern::Sequential,
        bars: &[Bar::OfRaw(1.05), Bar::OfRawInSmallPages(0.9)],
    },
    Case { name: "random 4 KiB", image: "allocated", pattern: Pattern::Random, bars: &[Bar::OfRaw(1.2)] },
    Case { name: "sparse random 4 KiB", image: "sparse", pattern: Pattern::Random, bars: &[Bar::OfRaw(0.34)] },
    Case { name: "deflate sequential", image: "deflate", pattern: Pattern::Sequential, bars: &[Bar::AheadOfPeers] },
    Case { name: "deflate random 4 KiB", image: "deflate", pattern: Pattern::RandomFew, bars: &[Bar::AheadOfPeers] },
    Case { name: "zstd sequential", image: "zstd", pattern: Pattern::Sequential, bars: &[Bar::AheadOfPeers] },
    Case { name: "zstd random 4 KiB", image: "zstd", pattern: Pattern::RandomFew, bars: &[Bar::AheadOfPeers] },
];

struct Options {
    mebibytes: u64,
    rounds: usize,
    only: Option<String>,
    folder: PathBuf,
}

fn main() {
    let options = Options::parse();
    let images = Images::prepare(&options.folder, options.mebibytes << 20);
    let mut held = true;
    for case in CASES.iter().filter(|case| options.only.as_ref().is_none_or(|only| case.name.contains(only))) {
        held &= run(case, &images, options.rounds);
    }
    println!("\nCPU time relative to reading the raw file by pread; medians of {} rounds", options.rounds);
    std::process::exit(if held { 0 } else { 1 });
}

/// Measures a case and prints its table; whether the bars hold.
fn run(case: &Case, images: &Images, rounds: usize) -> bool {
    let workload = Workload::new(case.pattern, images.size);
    images.warm(case.image);
    let mut raw = contender::raw(&images.raw(case.image));
    let mut contenders = contender::all(images, case.image);
    let mut report = Report::new(case.name);
    contenders.retain_mut(|contender| match contender.verify(&mut raw, &workload) {
        Ok(()) => true,
        Err(why) => {
            report.refused(contender.name(), &why);
            false
        }
    });
    // The page cache, the engines' caches, and the branch predictors.
    let mut measure_raw = || raw.measure(&workload, workload.raw_repeats());
    measure_raw();
    for contender in &mut contenders {
        contender.measure(&workload, 1);
    }
    for _ in 0..rounds {
        let mut before = measure_raw();
        for contender in &mut contenders {
            let time = contender.measure(&workload, 1);
            let after = measure_raw();
            report.add(contender.name(), time, (before + after) / 2.0);
            before = after;
        }
    }
    report.print(&workload, case.bars)
}

impl Options {
    fn parse() -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
        let mut options = Self { mebibytes: 512, rounds: 9, only: None, folder };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_else(|| stop(USAGE));
            let number = || value.parse().unwrap_or_else(|_| stop(USAGE));
            match name.as_str() {
                "--size" => options.mebibytes = number(),
                "--rounds" => options.rounds = number() as usize,
                "--only" => options.only = Some(value),
                "--folder" => options.folder = value.into(),
                _ => stop(USAGE),
            }
        }
        options
    }
}

fn stop(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(2)
}

impl Contender {
    /// Whether it can read the image at all, and reads what the raw file has.
    fn verify(&mut self, raw: &mut Contender, workload: &Workload) -> Result<(), String> {
        let (Self::Reader { reader: Ok(reader), .. }, Self::Reader { reader: Ok(raw), .. }) = (&mut *self, raw) else {
            return match self {
                Self::Reader { reader: Err(why), .. } => Err(why.clone()),
                _ => Ok(()),
            };
        };
        let [mut found, mut expected] = [workload.buffer(), workload.buffer()];
        for offset in workload.sample() {
            reader.read(offset, &mut found)?;
            raw.read(offset, &mut expected)?;
            if *found != *expected {
                return Err(format!("reads something else at {offset}"));
            }
        }
        Ok(())
    }

    /// The CPU time of the workload in seconds: the mean of `repeats`.
    fn measure(&mut self, workload: &Workload, repeats: u32) -> f64 {
        match self {
            Self::Reader { reader: Ok(reader), .. } => {
                let mut buffer = workload.buffer();
                let time = cpu::time(|| {
                    for &offset in (0..repeats).flat_map(|_| workload.offsets()) {
                        reader.read(offset, &mut buffer).expect("it has been verified");
                    }
                });
                time / f64::from(repeats)
            }
            Self::Program { command, .. } => command(workload),
            Self::Reader { reader: Err(_), .. } => unreachable!("it has been left out"),
        }
    }
}
