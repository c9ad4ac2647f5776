//! Random operations on images of every kind, against a plain disk, with QEMU's check and QEMU's reading at the end.
//!
//! A failure is told with its seed and with the fewest steps that still fail: `SEED=17 SEEDS=1 cargo test -p
//! qcow2-web-tests model::` runs that image alone, `SEEDS=1000` many.

mod run;
mod shrink;

use run::Failed;

/// Each size of clusters with each width of counts; five times as many have each of these with each size of the caches.
const IMAGES: u64 = 13 * 7;

#[test]
fn random_operations() {
    let number = |name, default| std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"));
    let first = number("SEED", 0);
    let mut done = 0;
    for seed in first..first + number("SEEDS", IMAGES) {
        match run::by_chance(seed) {
            Ok(steps) => done += steps,
            Err(Failed { steps, fault }) => {
                eprintln!("SEED={seed} fails after {} steps: {fault}; looking for the fewest", steps.len());
                let fewest = shrink::fewest(steps, |steps| run::repeat(seed, steps).is_err());
                let fault = run::repeat(seed, &fewest).expect_err("the fewest still fail");
                panic!("SEED={seed}: {fault}\n{:#?}\n{fewest:#?}", run::setup(seed));
            }
        }
    }
    println!("{done} steps");
}
