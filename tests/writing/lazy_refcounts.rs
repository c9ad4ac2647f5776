//! Images whose counts may be late: those that QEMU left behind, and those that we write.

use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, Repair, RepairOptions, repair};

use crate::common::index;
use crate::common::lab::Lab;
use crate::common::reading::now;

fn open_writable(lab: &Lab) -> Image<FileStorage> {
    let storage = FileStorage::open_writable(lab.path("lazy.qcow2")).unwrap();
    now(Image::open_writable(storage, OpenOptions::new())).unwrap()
}

#[test]
fn counts_are_rebuilt_at_a_writable_opening() {
    for options in ["cluster_size=64k", "cluster_size=512", "cluster_size=16k,extended_l2=on", "refcount_bits=1"] {
        let lab = Lab::new();
        lab.create("lazy.qcow2", &format!("lazy_refcounts=on,{options}"), 64 << 20);
        // QEMU dies before it writes the counts.
        lab.io_killed("lazy.qcow2", &["write -P 1 0 1M", "write -P 2 40M 70k", "flush"]);
        let storage = FileStorage::open(lab.path("lazy.qcow2")).unwrap();
        assert!(now(Image::open(storage, OpenOptions::new())).unwrap().is_dirty(), "{options}");

        let image = open_writable(&lab);
        assert!(!image.is_dirty(), "{options}");
        assert!(!now(image.info()).unwrap().dirty, "{options}");
        now(image.write_at(20 << 20, &[3; 1000])).unwrap();
        now(image.close()).unwrap();
        drop(image);
        // What held the counts before is free now.
        lab.check("lazy.qcow2");
        let reads = ["read -P 1 0 1M", "read -P 2 40M 70k", "read -P 3 20M 1000"].map(String::from);
        lab.io("lazy.qcow2", &reads);
    }
}

#[test]
fn what_can_be_repaired_only_by_a_loss_is_asked_for() {
    let lab = Lab::new();
    lab.create("lazy.qcow2", "lazy_refcounts=on", 64 << 20);
    lab.io_killed("lazy.qcow2", &["write -P 1 0 1M", "flush"]);
    let mut bytes = lab.bytes("lazy.qcow2");
    let place = |bytes: &[u8], at: usize| index(u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()) & !(3 << 62));
    // The second cluster lies between two.
    let entry = place(&bytes, place(&bytes, 40)) + 8;
    bytes[entry + 6] ^= 2;
    lab.put("lazy.qcow2", &bytes);
    let open = || {
        let storage = FileStorage::open_writable(lab.path("lazy.qcow2")).unwrap();
        now(Image::open_writable(storage, OpenOptions::new()))
    };
    assert_eq!(open().map(drop).unwrap_err().code(), "NEEDS_REPAIR");
    let storage = FileStorage::open_writable(lab.path("lazy.qcow2")).unwrap();
    now(repair(&storage, RepairOptions::new(Repair::All).accept_loss(true))).unwrap();
    now(open().unwrap().write_at(0, &[2; 512])).unwrap();
    lab.check("lazy.qcow2");
}

/// Ours are never late: nothing has to be repaired, whether or not the image was closed.
#[test]
fn counts_are_not_late() {
    let lab = Lab::new();
    lab.create("lazy.qcow2", "lazy_refcounts=on", 64 << 20);
    let image = open_writable(&lab);
    for cluster in 0..40 {
        now(image.write_at(cluster * 100_000, &[7; 100_000])).unwrap();
    }
    now(image.flush()).unwrap();
    now(image.write_at(30 << 20, &[8; 100_000])).unwrap();
    drop(image);
    assert_eq!(lab.info("lazy.qcow2")["dirty-flag"], false);
    lab.check("lazy.qcow2");
    lab.io("lazy.qcow2", &["read -P 7 0 4000000".into()]);
}
