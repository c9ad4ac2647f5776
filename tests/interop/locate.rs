//! The walk from a byte of the disk to its place in the file, against the file's own bytes and QEMU's map.

use qcow2_web::LocationKind;

use crate::common::builder::{Builder, Cluster};
use crate::common::compare::Folder;
use crate::common::deflate::compressed;
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::reading::{now, open};
use crate::common::{KIB, MIB, index};

fn word_at(bytes: &[u8], offset: u64) -> u64 {
    u64::from_be_bytes(bytes[index(offset)..][..8].try_into().unwrap())
}

#[test]
fn every_kind_of_cluster() {
    let unpacked = vec![7; 4096];
    let stream = compressed(&unpacked, 4096);
    let image = Builder::new(4 * KIB, 4 * MIB)
        .with_data(0, 1)
        .with(1, Cluster::Zero)
        .with(2, Cluster::ZeroOver(vec![2; 4096]))
        .with(3, Cluster::Compressed { stream, unpacked })
        .build();
    let opened = open(&Disk::of(image.bytes.clone())).unwrap();
    let at = |guest: u64| now(opened.locate(guest * 4 * KIB + 100)).unwrap();
    let host = |guest: u64| Some(image.hosts[&guest] + 100);
    let kinds = [
        (0, LocationKind::Data, host(0)),
        (1, LocationKind::Zero, None),
        (2, LocationKind::Zero, host(2)),
        (3, LocationKind::Compressed, Some(image.hosts[&3])),
        (4, LocationKind::Unallocated, None),
    ];
    for (guest, kind, host_offset) in kinds {
        let location = at(guest);
        assert_eq!((location.kind, location.host_offset), (kind, host_offset), "cluster {guest}");
        assert_eq!(location.guest_offset, guest * 4 * KIB + 100);
        assert_eq!((location.l1_index, location.l2_index), (0, guest));
        assert_eq!(location.l1_entry_offset, Some(image.l1));
        assert_eq!(location.l1_entry, Some(image.u64_at(image.l1)));
        assert_eq!(location.l2_table_offset, Some(image.l2[&0]));
        assert_eq!(location.l2_entry_offset, Some(image.l2_entry(guest)));
        assert_eq!(location.l2_entry, Some(image.u64_at(image.l2_entry(guest))));
        assert_eq!(location.l2_bitmap, None);
    }
    assert_eq!(at(3).compressed_length.map(|length| (at(3).host_offset.unwrap() + length) % 512), Some(0));
    // The second table was never made.
    let location = at(600);
    assert_eq!((location.l1_index, location.l2_index), (1, 600 - 512));
    assert_eq!((location.l2_table_offset, location.l2_entry), (None, None));
    assert_eq!(now(opened.locate(4 * MIB)).unwrap_err().code(), "OUT_OF_BOUNDS");
}

#[test]
fn agrees_with_the_map() {
    let lab = Lab::new();
    for options in ["cluster_size=4k", "cluster_size=16k,extended_l2=on", "cluster_size=512"] {
        lab.create("disk.qcow2", options, MIB);
        lab.io(
            "disk.qcow2",
            &[
                "write -q -P 1 10k 100k".into(),
                "write -q -z 50k 20k".into(),
                "write -q -P 2 300k 1k".into(),
                "write -q -c -P 3 512k 64k".into(),
                "write -q -z -u 700k 100k".into(),
            ],
        );
        let bytes = lab.bytes("disk.qcow2");
        let image = Folder::new(&lab).open("disk.qcow2");
        for row in lab.map("disk.qcow2") {
            for offset in (row.start..row.start + row.length).step_by(512) {
                let location = now(image.locate(offset)).unwrap();
                let kind = match location.kind {
                    LocationKind::Unallocated => (false, true, false, false),
                    LocationKind::Zero => (true, true, false, false),
                    LocationKind::Data => (true, false, true, false),
                    LocationKind::Compressed => (true, false, true, true),
                };
                assert_eq!(kind, (row.present, row.zero, row.data, row.compressed), "{options}: {location:?}");
                let place = row.offset.map(|place| place + (offset - row.start));
                if location.kind != LocationKind::Compressed {
                    assert_eq!(location.host_offset, place, "{options}: {location:?}");
                }
                let entry = location.l2_entry_offset.map(|at| word_at(&bytes, at));
                assert_eq!(location.l2_entry, entry);
                let extended = location.l2_entry_offset.filter(|_| options.contains("extended"));
                assert_eq!(location.l2_bitmap, extended.map(|at| word_at(&bytes, at + 8)));
            }
        }
    }
}
