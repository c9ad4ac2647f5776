//! The examples of the engine, run on images that QEMU made, or that QEMU reads then.

use std::path::Path;

use crate::common::lab::Lab;
use crate::common::reading::assert_same;

#[path = "../src/engine/examples/check.rs"]
mod check;
#[path = "../src/engine/examples/convert.rs"]
mod convert;
#[path = "../src/engine/examples/create_and_write.rs"]
mod create_and_write;
#[path = "../src/engine/examples/read.rs"]
mod read;
#[path = "../src/engine/examples/tokio_actor.rs"]
mod tokio_actor;

/// An image of 1 MiB with a pattern at its beginning and in its middle.
fn image(lab: &Lab) -> std::path::PathBuf {
    lab.create("disk.qcow2", "cluster_size=64k", 1 << 20);
    lab.io("disk.qcow2", &["write -q -P 0xab 0 1k".into(), "write -q -P 0xcd 512k 64k".into()]);
    lab.path("disk.qcow2")
}

#[test]
fn read_gives_the_first_sector() {
    let lab = Lab::new();
    assert_eq!(read::first_sector(&image(&lab), None).unwrap(), [0xab; 512]);
    lab.put("base.raw", &[0x11; 1 << 16]);
    lab.create_over("overlay.qcow2", "cluster_size=64k", ("base.raw", "raw"), 1 << 16);
    let overlay = lab.path("overlay.qcow2");
    assert_eq!(read::first_sector(&overlay, Some(&lab.path("base.raw"))).unwrap(), [0x11; 512]);
    assert!(read::first_sector(&overlay, None).is_err(), "the backing file is missing");
}

#[test]
fn create_and_write_makes_an_image_that_qemu_reads() {
    let lab = Lab::new();
    create_and_write::create_and_write(&lab.path("new.qcow2")).unwrap();
    lab.check("new.qcow2");
    assert_eq!(lab.info("new.qcow2")["snapshots"][0]["name"], "first");
    assert_eq!(read::first_sector(&lab.path("new.qcow2"), None).unwrap()[..19], *b"after the snapshot!");
}

#[test]
fn convert_makes_the_raw_disk() {
    let lab = Lab::new();
    convert::convert(&image(&lab), &lab.path("disk.raw")).unwrap();
    assert_same(&lab.bytes("disk.raw"), &lab.contents("disk.qcow2"), "the raw disk");
}

#[test]
fn check_reports_leaks() {
    let lab = Lab::new();
    let path = image(&lab);
    assert_eq!(check::report(&path).unwrap().leaks, 0);
    // The refcount of a cluster behind the others.
    let mut bytes = lab.bytes("disk.qcow2");
    let clusters = bytes.len() >> 16;
    bytes.resize((clusters + 1) << 16, 0);
    let block = usize::try_from(u64::from_be_bytes(bytes[1 << 16..][..8].try_into().unwrap())).unwrap();
    bytes[block + 2 * clusters + 1] = 1;
    lab.put("disk.qcow2", &bytes);
    assert_eq!(check::report(&path).unwrap().leaks, 1);
    assert!(check::report(Path::new("/does/not/exist")).is_err());
}

#[test]
fn an_actor_serves_tasks_of_any_thread() {
    let lab = Lab::new();
    let path = image(&lab);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let image = tokio_actor::SharedImage::open(path.clone()).await.unwrap();
        let reads = [0, 512 << 10, 900 << 10].map(|offset| {
            let image = image.clone();
            tokio::spawn(async move { image.read(offset, 100).await.unwrap() })
        });
        for (read, byte) in reads.into_iter().zip([0xab, 0xcd, 0]) {
            assert_eq!(read.await.unwrap(), [byte; 100]);
        }
        assert!(image.read(1 << 20, 1).await.is_err(), "past the end");
        assert!(tokio_actor::SharedImage::open(path.join("nothing")).await.is_err());
    });
}
