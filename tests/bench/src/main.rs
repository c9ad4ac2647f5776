//! The native benchmark: CPU time of reading and writing qcow2 images, relative to reading and writing the raw file of the
//! same bytes.
//!
//! Every measurement stands between two of the raw file, so that whatever else the machine does weighs on both. CPU
//! time, not elapsed time: a machine that is shared has no other. Linux, with `qemu-img`, `qemu-io` and `tar`.

mod contender;
mod cpu;
mod images;
mod random;
mod reading;
mod report;
mod workload;
mod writer;
mod writing;

use std::path::PathBuf;

const USAGE: &str = "options: --size MiB (default 512), --rounds N (default 9), --only NAME (a case), --folder PATH";

pub(crate) struct Options {
    pub(crate) mebibytes: u64,
    pub(crate) rounds: usize,
    only: Option<String>,
    pub(crate) folder: PathBuf,
}

fn main() {
    let options = Options::parse();
    let held = [reading::run(&options), writing::run(&options)];
    println!("\nCPU time relative to the raw file by pread and pwrite; medians of {} rounds", options.rounds);
    std::process::exit(if held == [true, true] { 0 } else { 1 });
}

impl Options {
    /// Whether the case is wanted.
    pub(crate) fn includes(&self, case: &str) -> bool {
        self.only.as_ref().is_none_or(|only| case.contains(only))
    }

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

pub(crate) fn stop(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(2)
}
