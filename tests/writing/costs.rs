//! What a flush costs: the storage's writes and barriers, counted.

use qcow2_web::Image;

use crate::common::random::Random;
use crate::common::reading::now;
use crate::rig::machine::{Counts, File, Machine};
use crate::rig::setup::{DataFile, IMAGE, Setup};

const UNIT: u64 = 64 << 10;

struct Bench {
    machine: Machine,
    image: Image<File>,
}

impl Bench {
    /// An image of which the first cluster is written, and flushed.
    fn new(setup: &Setup) -> Self {
        let machine = setup.make_empty(&mut Random::seeded(1));
        let image = setup.open(&machine).unwrap();
        now(image.write_at(0, &[1; UNIT as usize])).unwrap();
        now(image.flush()).unwrap();
        Self { machine, image }
    }

    /// The requests of what `work` does, and of the flush after it.
    fn cost(&self, work: impl AsyncFnOnce(&Image<File>)) -> Counts {
        self.machine.forget_counts();
        now(work(&self.image));
        now(self.image.flush()).unwrap();
        self.machine.counts()
    }
}

fn standard() -> Bench {
    Bench::new(&Setup::plain(16, 1 << 30))
}

#[test]
fn nothing_written_costs_nothing() {
    let cost = standard().cost(async |_| ());
    assert_eq!(cost, Counts::default());
}

#[test]
fn rewriting_costs_one_barrier() {
    let cost = standard().cost(async |image| image.write_at(4096, &[2; 8192]).await.unwrap());
    assert_eq!((cost.writes, cost.flushes), (1, 1));
    assert_eq!(cost.bytes_written, 8192);
}

#[test]
fn allocating_costs_two_barriers() {
    let cost = standard().cost(async |image| image.write_at(UNIT, &[2; 4096]).await.unwrap());
    // The data, a sector of the refcount block and one of the L2 table.
    assert_eq!((cost.writes, cost.flushes), (3, 2));
    assert_eq!(cost.bytes_written, 4096 + 2 * 512);
}

#[test]
fn allocating_much_costs_two_barriers() {
    let cost = standard().cost(async |image| {
        for cluster in 1..=100 {
            image.write_at(cluster * UNIT, &[2; UNIT as usize]).await.unwrap();
        }
    });
    assert_eq!((cost.writes, cost.flushes), (100 + 2, 2));
}

#[test]
fn a_new_l2_table_costs_two_barriers() {
    let cost = standard().cost(async |image| image.write_at(512 << 20, &[2; UNIT as usize]).await.unwrap());
    // The data, the refcounts, the whole table, the L1 entry.
    assert_eq!((cost.writes, cost.flushes), (4, 2));
}

#[test]
fn a_new_refcount_block_costs_three_barriers() {
    // A block counts 64 clusters.
    let bench = Bench::new(&Setup { refcount_bits: 64, ..Setup::plain(9, 1 << 20) });
    let cost = bench.cost(async |image| image.write_at(1 << 17, &[2; 512 * 20]).await.unwrap());
    assert!(cost.flushes <= 3, "{cost:?}");
}

#[test]
fn a_larger_refcount_table_costs_three_barriers() {
    // A block counts 64 clusters, and a cluster of the table has room for 64 blocks.
    let bench = Bench::new(&Setup { refcount_bits: 64, ..Setup::plain(9, 4 << 20) });
    let table = || bench.machine.with_files(|files| files[IMAGE][48..60].to_vec());
    let first = table();
    for piece in 8.. {
        let cost = bench.cost(async |image| image.write_at(piece * 16 * 512, &[2; 16 * 512]).await.unwrap());
        if table() != first {
            return assert_eq!(cost.flushes, 3, "{cost:?}");
        }
    }
}

#[test]
fn discarding_costs_one_barrier_and_counts_down_with_the_next_flush() {
    let bench = standard();
    let cost = bench.cost(async |image| image.discard(0, UNIT).await.unwrap());
    assert_eq!((cost.writes, cost.flushes), (1, 1));
    let cost = bench.cost(async |_| ());
    assert_eq!((cost.writes, cost.flushes), (1, 1));
}

#[test]
fn only_the_file_that_was_written_is_flushed() {
    let bench = Bench::new(&Setup { data_file: DataFile::Plain, ..Setup::plain(16, 1 << 30 >> 4) });
    let cost = bench.cost(async |image| image.write_at(4096, &[2; 8192]).await.unwrap());
    assert_eq!((cost.writes, cost.flushes), (1, 1));
    // The data, then the L2 entry.
    let cost = bench.cost(async |image| image.write_at(UNIT, &[2; 4096]).await.unwrap());
    assert_eq!((cost.writes, cost.flushes), (2, 2));
}

/// 4 KiB and a flush, over and over.
fn loop_of_4k(what: &str, bench: &Bench, mut place: impl FnMut(u64) -> u64) -> (f64, f64) {
    const ROUNDS: u64 = 512;
    bench.machine.forget_counts();
    for round in 0..ROUNDS {
        now(bench.image.write_at(place(round), &[3; 4096])).unwrap();
        now(bench.image.flush()).unwrap();
    }
    let counts = bench.machine.counts();
    let each = |count: u64| count as f64 / ROUNDS as f64;
    let (writes, barriers) = (each(counts.writes), each(counts.flushes));
    println!("4 KiB and a flush, {what}: {writes:.2} writes and {barriers:.2} barriers a flush");
    (writes, barriers)
}

#[test]
fn a_loop_of_4k_in_sequence() {
    let (writes, barriers) = loop_of_4k("in sequence", &standard(), |round| UNIT + round * 4096);
    // One in sixteen allocates.
    assert!(writes <= 1.15 && barriers <= 1.07, "{writes} writes, {barriers} barriers");
}

#[test]
fn a_loop_of_4k_at_random() {
    let mut random = Random::seeded(5);
    let (writes, barriers) = loop_of_4k("at random", &standard(), |_| random.below((1 << 30) / 4096) * 4096);
    assert!(writes <= 3.01 && barriers <= 2.01, "{writes} writes, {barriers} barriers");
}

#[test]
fn a_loop_of_4k_in_place() {
    let bench = standard();
    let (writes, barriers) = loop_of_4k("in place", &bench, |round| round % 16 * 4096);
    assert_eq!((writes, barriers), (1.0, 1.0));
}
