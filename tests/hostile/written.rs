//! Broken images that are opened to be written: what they claim takes no memory, and where a table is something else as
//! well nothing is written at all.

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{Corrupt, Error, Image, OpenOptions};

use crate::common::builder::{Builder, Built, COPIED, SnapshotPlan, field};
use crate::common::lab::Lab;
use crate::common::memory::peak_of;
use crate::common::reading::now;
use crate::common::{GIB, KIB};
use crate::hostile::verdict::MEMORY;

const SIZE: u64 = 64 * KIB;

fn sound() -> Built {
    Builder::new(4 * KIB, SIZE).with_data(0, 0x77).build()
}

/// Neither QEMU nor we write to the image, and we say so as soon as it is opened for that.
#[track_caller]
fn both_refuse_to_write(image: &Built, overlap: u64) {
    let storage = MemoryStorage::from(image.bytes.clone());
    let error = now(Image::open_writable(&storage, OpenOptions::new())).map(drop).unwrap_err();
    assert!(matches!(error, Error::Corrupt(Corrupt::Overlap { offset }) if offset == overlap), "{error}");
    assert!(storage.into_bytes() == image.bytes, "nothing is written");
    let lab = Lab::new();
    lab.put("broken.qcow2", &image.bytes);
    let said = lab.run("qemu-io", &["-f", "qcow2", "-c", "write 32k 4k", "broken.qcow2"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("Marking image as corrupt"), "{said:?}");
}

#[test]
fn an_l1_table_that_is_something_else() {
    let table = sound().u64_at(field::REFCOUNT_TABLE_OFFSET);
    for place in [0, table, sound().u64_at(table)] {
        both_refuse_to_write(&sound().set_u64(field::L1_TABLE_OFFSET, place), place);
    }
}

#[test]
fn an_l2_table_that_is_something_else() {
    let (image, table) = (sound(), sound().u64_at(field::REFCOUNT_TABLE_OFFSET));
    for place in [image.l1, table, image.u64_at(table)] {
        both_refuse_to_write(&sound().set_u64(image.l1_entry(0), place | COPIED), place);
    }
}

#[test]
fn a_refcount_block_that_is_something_else() {
    let (image, table) = (sound(), sound().u64_at(field::REFCOUNT_TABLE_OFFSET));
    for place in [table, image.l1, image.l2[&0]] {
        both_refuse_to_write(&sound().set_u64(table, place), place);
    }
}

/// To look for a free cluster in counts that never end takes for ever.
#[test]
fn a_refcount_block_that_counts_everything() {
    let table = sound().u64_at(field::REFCOUNT_TABLE_OFFSET);
    let block = sound().u64_at(table);
    let image = sound().set_u64(table + 8, block);
    let storage = MemoryStorage::from(image.bytes);
    let error = now(Image::open_writable(&storage, OpenOptions::new())).map(drop).unwrap_err();
    assert!(matches!(error, Error::Corrupt(Corrupt::Overlap { offset }) if offset == block), "{error}");
}

/// The file has no room for them; each alone takes 65,536 clusters.
#[test]
fn snapshots_with_the_largest_l1_tables() {
    const SNAPSHOTS: u64 = 100;
    let plan = Builder::new(512, SIZE).with_data(0, 0x77);
    let names = (0..SNAPSHOTS).map(|number| number.to_string());
    let mut image = names.fold(plan, |plan, id| plan.with_snapshot(SnapshotPlan::new(&id, &id, SIZE))).build();
    for (entry, number) in image.snapshot_entries.clone().into_iter().zip(0..) {
        image = image.set_u64(entry, GIB + (number << 25)).set_u32(entry + 8, 4 << 20);
    }
    let storage = MemoryStorage::from(image.bytes);
    let (result, peak) = peak_of(|| {
        let image = now(Image::open_writable(&storage, OpenOptions::new()))?;
        now(image.write_at(0, &[1; 10_000]))?;
        now(image.close())
    });
    result.unwrap();
    assert!(peak < MEMORY, "{peak} bytes of memory");
}
