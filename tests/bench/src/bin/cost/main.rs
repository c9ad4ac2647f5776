//! What operations cost, counted: requests of the storage, bytes that it transfers, and allocations.
//!
//! `cost` prints the tables, for the images that the benchmark made and for a new one; `cost IMAGE` reads that one at
//! random, for a profiler.

mod counted;
#[path = "../../random.rs"]
mod random;
mod reading;
mod writing;

use std::path::Path;
use std::process::exit;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            reading::table();
            writing::table();
        }
        [image] => {
            let (_, image) = reading::open(Path::new(image));
            reading::read_randomly(&image, 4096, 1_000_000);
        }
        _ => {
            eprintln!("usage: cost [IMAGE]");
            exit(2)
        }
    }
}
