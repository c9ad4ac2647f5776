//! Growing a disk as QEMU does.

use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, ResizeOptions, WithoutBacking};

use crate::common::lab::Lab;
use crate::common::reading::now;
use crate::common::{KIB, MIB, index};

/// Whoever writes to a raw data file, its disk shows that: so what it grew by is mapped, too.
#[test]
fn a_raw_data_file_is_the_disk_where_it_grew() {
    for (options, from, to) in [
        ("data_file=data,data_file_raw=on", MIB, 2 * MIB),
        ("data_file=data,data_file_raw=on,cluster_size=4k", MIB + 512, MIB + 300 * KIB + 1024),
        ("data_file=data,data_file_raw=on", 0, 600 * MIB),
        ("data_file=data", MIB, 2 * MIB),
    ] {
        let [ours, theirs] = [Lab::new(), Lab::new()];
        for lab in [&ours, &theirs] {
            lab.create("disk.qcow2", options, from);
        }
        theirs.resize("disk.qcow2", to);
        let open = |name| FileStorage::open_writable(ours.path(name)).unwrap();
        let image = now(Image::open_writable(open("disk.qcow2"), OpenOptions::new().data_file(open("data")))).unwrap();
        now(image.resize(to, &ResizeOptions::new())).unwrap();
        now(image.close()).unwrap();
        ours.check("disk.qcow2");
        assert_eq!(ours.map("disk.qcow2"), theirs.map("disk.qcow2"), "{options} {from} {to}");
        assert_eq!(ours.bytes("data").len(), theirs.bytes("data").len(), "{options} {from} {to}");
    }
}

/// What a base holds behind the end of the disk must not show where the disk grows.
#[test]
fn an_overlay_does_not_grow_without_its_backing_file() {
    for version in ["compat=1.1", "compat=0.10"] {
        let lab = Lab::new();
        lab.put("base", &vec![7; index(2 * MIB)]);
        lab.create_over("disk.qcow2", version, ("base", "raw"), MIB);
        let open = || FileStorage::open_writable(lab.path("disk.qcow2")).unwrap();
        let image = now(Image::open_writable(open(), OpenOptions::new().backing(WithoutBacking))).unwrap();
        let refused = now(image.resize(2 * MIB, &ResizeOptions::new())).unwrap_err();
        assert_eq!((refused.code(), image.size()), ("BACKING_NEEDED", MIB));
        now(image.resize(MIB / 2, &ResizeOptions::new().shrink(true))).unwrap();
        now(image.close()).unwrap();
        drop(image);
        let base = vec![FileStorage::open(lab.path("base")).unwrap().into()];
        let image = now(Image::open_writable(open(), OpenOptions::new().backing(base))).unwrap();
        now(image.resize(2 * MIB, &ResizeOptions::new())).unwrap();
        now(image.close()).unwrap();
        let contents = lab.contents("disk.qcow2");
        assert!(contents[..index(MIB / 2)].iter().all(|byte| *byte == 7));
        assert!(contents[index(MIB / 2)..].iter().all(|byte| *byte == 0), "{version}");
    }
}
