//! A request resolves each run once, and a warm one reads no tables.

use qcow2_web::{Image, Statistics, ZeroMode};

use crate::common::random::Random;
use crate::common::reading::now;
use crate::rig::machine::{File, Machine};
use crate::rig::setup::Setup;

const UNIT: u64 = 64 << 10;

fn setup() -> Setup {
    Setup::plain(16, 1 << 30)
}

/// An image whose clusters 0 to 3 and 8 hold data; cluster 4 holds zeros.
fn written() -> Machine {
    let machine = setup().make_empty(&mut Random::seeded(1));
    let image = setup().open(&machine).unwrap();
    now(image.write_at(0, &[1; 4 * UNIT as usize])).unwrap();
    now(image.write_zeroes(4 * UNIT, UNIT, ZeroMode::KeepAllocated)).unwrap();
    now(image.write_at(8 * UNIT, &[1; UNIT as usize])).unwrap();
    now(image.close()).unwrap();
    machine
}

/// What `request` adds to the statistics.
fn cost(image: &Image<File>, request: impl AsyncFnOnce(&Image<File>)) -> Statistics {
    let before = image.statistics();
    now(request(image));
    let after = image.statistics();
    Statistics { lookups: after.lookups - before.lookups, table_reads: after.table_reads - before.table_reads }
}

fn read(length: u64) -> impl AsyncFnOnce(&Image<File>) {
    async move |image| image.read_at(0, &mut vec![0; usize::try_from(length).unwrap()]).await.unwrap()
}

fn write(cluster: u64) -> impl AsyncFnOnce(&Image<File>) {
    async move |image| image.write_at(cluster * UNIT, &[2; 4096]).await.unwrap()
}

#[test]
fn a_warm_request_resolves_each_run_once_and_reads_no_tables() {
    let machine = written();
    let image = setup().open(&machine).unwrap();
    now(read(9 * UNIT)(&image));
    now(write(20)(&image));
    let once = Statistics { lookups: 1, table_reads: 0 };
    assert_eq!(cost(&image, read(4096)), once, "a read");
    assert_eq!(cost(&image, write(1)), once, "a write in place");
    assert_eq!(cost(&image, write(21)), once, "a write that allocates");
    // Data, zeros, nothing, data.
    assert_eq!(cost(&image, read(9 * UNIT)), Statistics { lookups: 4, table_reads: 0 }, "a read of four runs");
}

#[test]
fn a_cold_request_resolves_each_run_once() {
    let machine = written();
    let cold = || setup().open_to_read(&machine).unwrap();
    // A slice of the L1 table, and one of the L2 table.
    let once = Statistics { lookups: 1, table_reads: 2 };
    assert_eq!(cost(&cold(), read(4096)), once, "a read");
    assert_eq!(cost(&cold(), read(9 * UNIT)), Statistics { lookups: 4, ..once }, "a read of four runs");
    // Opening for writing reads the L1 table.
    let cold = || setup().open(&machine).unwrap();
    assert_eq!(cost(&cold(), write(1)), Statistics { lookups: 1, table_reads: 1 }, "a write in place");
    // It has to wait for the refcounts, and nothing that was known before a wait decides anything after it.
    assert_eq!(cost(&cold(), write(21)), Statistics { lookups: 2, table_reads: 2 }, "a write that allocates");
}
