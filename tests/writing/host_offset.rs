//! Writes in place by callers who write the storage themselves.

use qcow2_web::{Error, StorageMut};

use crate::common::index;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::rig::checker::check;
use crate::rig::machine::Failure;
use crate::rig::setup::{Backing, IMAGE, Setup};

#[test]
fn where_the_disk_has_clusters_of_its_own_and_nowhere_else() {
    let size = 40 << 12;
    let setup = Setup { backing: Some(Backing { qcow2: false, size }), ..Setup::plain(12, size) };
    let mut random = Random::seeded(1);
    let (machine, mut disk) = setup.make(&mut random);
    let image = setup.open(&machine).unwrap();
    let data = random.noise(6 << 12);
    now(image.write_at(4 << 12, &data)).unwrap();
    disk[4 << 12..10 << 12].copy_from_slice(&data);
    for (offset, length) in [(4 << 12, 100), ((4 << 12) + 7, 10_000), (9 << 12, 1 << 12)] {
        let data = random.noise(index(length));
        let written = image.write_in_place_with(offset, length, |file, place| now(file.write_at(place, &data)));
        assert!(matches!(written, Some(Ok(()))), "{written:?}");
        disk[index(offset)..index(offset + length)].copy_from_slice(&data);
    }
    for (offset, length) in [(0, 512), ((9 << 12) + 100, 1 << 12), (size - 10, 11), (u64::MAX, 2), (4 << 12, 0)] {
        let written = image.write_in_place_with(offset, length, |_, _| panic!("{length} bytes at {offset}"));
        assert!(written.is_none());
    }
    assert!(now(whole(&image)).unwrap() == disk);
    now(image.close()).unwrap();
    assert!(now(whole(&setup.open_to_read(&machine).unwrap())).unwrap() == disk);
    machine.with_files(|files| assert_eq!(check(&files[IMAGE]).exit_code(), 0));
}

#[test]
fn one_that_fails_leaves_the_image_usable() {
    let setup = Setup::plain(12, 40 << 12);
    let (machine, _) = setup.make(&mut Random::seeded(1));
    let image = setup.open(&machine).unwrap();
    now(image.write_at(0, &[1; 4096])).unwrap();
    let failed = image.write_in_place_with(0, 512, |_, _| Err(Failure::Injected));
    assert!(matches!(failed, Some(Err(Error::Storage(Failure::Injected)))), "{failed:?}");
    assert!(matches!(image.write_in_place_with(0, 512, |_, _| Ok(())), Some(Ok(()))));
    now(image.write_at(0, &[2; 512])).unwrap();
}
