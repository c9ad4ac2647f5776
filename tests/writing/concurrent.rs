//! Many requests at once, over a storage that completes what is asked of it in any order; some are dropped on the way,
//! and in between the machine crashes.
//!
//! `WRITING_RUNS` is how many runs there are for each test; `WRITING_SEED` repeats one.

use std::cell::RefCell;
use std::rc::Rc;

use self::run::{Run, Tally};
use crate::common::random::Random;
use crate::rig::setup::Setup;

mod run;

/// How a run goes.
#[expect(clippy::struct_excessive_bools, reason = "each run has a mix of them")]
#[derive(Clone, Copy)]
struct Style {
    requests: u64,
    at_once: usize,
    /// The guest writes the same bytes twice at once.
    overlaps: bool,
    drops: bool,
    crashes: bool,
    /// Some change of a file fails.
    fails: bool,
}

fn runs(what: &str, default: u64, style: Style) {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse().expect("a number"));
    let only = number("WRITING_SEED");
    let count = number("WRITING_RUNS").unwrap_or(default);
    let tally = Rc::new(RefCell::new(Tally::default()));
    for seed in only.map_or(0..count, |seed| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut random = Random::seeded(seed);
            let (bits, clusters) = random.pick(&[(9, 40), (9, 150), (10, 60), (12, 20), (14, 8), (16, 4)]);
            let setup = Setup::random(bits, clusters, &mut random);
            Run::new(&setup, style, random, &mut tally.borrow_mut()).run();
        }));
        if let Err(cause) = outcome {
            eprintln!("the run that failed: WRITING_SEED={seed}");
            std::panic::resume_unwind(cause);
        }
    }
    println!("{what}: {:?}", tally.borrow());
}

const STYLE: Style = Style { requests: 120, at_once: 12, overlaps: false, drops: false, crashes: false, fails: false };

#[test]
fn requests_side_by_side() {
    runs("requests side by side", 200, STYLE);
}

#[test]
fn requests_that_overlap() {
    runs("requests that overlap", 200, Style { overlaps: true, ..STYLE });
}

#[test]
fn requests_that_are_dropped() {
    runs("requests that are dropped", 200, Style { drops: true, ..STYLE });
}

#[test]
fn requests_that_overlap_and_are_dropped() {
    runs("requests that overlap and are dropped", 200, Style { overlaps: true, drops: true, ..STYLE });
}

#[test]
fn crashes_among_requests_side_by_side() {
    runs("crashes among requests side by side", 150, Style { drops: true, crashes: true, ..STYLE });
}

#[test]
fn crashes_among_requests_that_overlap() {
    runs("crashes among requests that overlap", 150, Style { overlaps: true, drops: true, crashes: true, ..STYLE });
}

#[test]
fn failures_among_requests() {
    runs("failures among requests", 400, Style { drops: true, crashes: true, fails: true, ..STYLE });
}
