//! Growing a disk as QEMU does.

use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, ResizeOptions};

use crate::common::lab::Lab;
use crate::common::reading::now;
use crate::common::{KIB, MIB};

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
