//! Where the clusters of a disk go that is written sequentially: where QEMU puts them.

use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions};

use crate::common::lab::Lab;
use crate::common::reading::now;
use crate::common::{KIB, MIB, index};

/// A new L2 table comes before the data that it maps, so that the data between two tables is contiguous. A write that needs
/// several new tables has all of them before its data, which QEMU allocates in turns with them.
#[test]
fn the_l2_table_of_a_range_is_allocated_before_its_data() {
    // The options, where the writes begin, their lengths, and how many there are. All cross an L2 table or two.
    let cases = [
        ("cluster_size=512", 0, 700, 130),
        ("cluster_size=4k", 0, 100 * KIB, 60),
        ("cluster_size=4k", 0, MIB, 6),
        ("cluster_size=64k", 509 * MIB, MIB, 6),
        ("cluster_size=64k,compat=0.10", 509 * MIB, 200 * KIB, 30),
        ("cluster_size=64k,extended_l2=on", 253 * MIB, MIB, 6),
        ("cluster_size=16k,extended_l2=on", 15 * MIB, 50_000, 50),
    ];
    for (options, start, length, count) in cases {
        let what = format!("{options}, {count} writes of {length} bytes from {start}");
        let [ours, theirs] = [Lab::new(), Lab::new()];
        let size = (start + length * count).next_multiple_of(MIB);
        for lab in [&ours, &theirs] {
            lab.create("disk.qcow2", options, size);
        }
        let offsets = || (0..count).map(|number| start + number * length);
        let file = FileStorage::open_writable(ours.path("disk.qcow2")).unwrap();
        let image = now(Image::open_writable(file, OpenOptions::new())).unwrap();
        for offset in offsets() {
            now(image.write_at(offset, &vec![7; index(length)])).unwrap();
        }
        now(image.close()).unwrap();
        let write = |offset| format!("write -q -P 7 {offset} {length}");
        theirs.io("disk.qcow2", &offsets().map(write).collect::<Vec<_>>());
        ours.check("disk.qcow2");
        assert_eq!(ours.map("disk.qcow2"), theirs.map("disk.qcow2"), "{what}");
    }
}
