//! Where data are that callers read from the storage themselves, against the disk by QEMU.

use qcow2_web::{Image, OpenOptions};

use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::reading::{now, open};
use crate::common::secret::PASSPHRASE;
use crate::common::{KIB, MIB, index};

#[test]
fn what_is_there_is_the_disks() {
    let lab = Lab::new();
    for (cluster, options) in [("4k", ""), ("16k", ",extended_l2=on"), ("64k", "")] {
        lab.create("image", &format!("cluster_size={cluster}{options}"), 4 * MIB);
        let compressed = format!("write -c -P 3 2M {cluster}");
        let writes = ["write -P 1 0 600k", "write -P 2 1M 4k", "write -z 64k 64k", &compressed, "write -P 4 3M 500k"];
        lab.io("image", &writes.map(String::from));
        let (file, disk) = (lab.bytes("image"), lab.contents("image"));
        let image = open(&Disk::of(file.clone())).unwrap();
        assert_eq!(image.cached_host_offset(0, 512), None, "no table is in memory");
        now(image.read_at(0, &mut vec![0; index(4 * MIB)])).unwrap();
        let mut found = 0;
        for start in (0..4 * MIB).step_by(4096) {
            for length in [1, 4096, 50_000] {
                let Some(place) = image.cached_host_offset(start, length) else { continue };
                found += 1;
                let (there, shown) = (&file[index(place)..], &disk[index(start)..]);
                assert!(there[..index(length)] == shown[..index(length)], "{cluster}: {length} bytes at {start}");
            }
        }
        assert!(found > 300, "{cluster}: {found} of the pieces");
        for (start, what) in [(64 * KIB, "zeros"), (2 * MIB, "compressed")] {
            assert_eq!(image.cached_host_offset(start, 512), None, "{cluster}: {what}");
        }
        assert_eq!(image.cached_host_offset(4 * MIB - 512, 1024), None, "past the end");
        assert_eq!(image.cached_host_offset(u64::MAX, 2), None, "past everything");
        assert_eq!(image.cached_host_offset(0, 0), None, "nothing");
    }
}

#[test]
fn encrypted_data_are_not_there_as_they_are() {
    let lab = Lab::new();
    lab.create_encrypted("image", "encrypt.format=aes,preallocation=metadata", MIB);
    let alone = OpenOptions::<Disk>::new().passphrase(PASSPHRASE);
    let image = now(Image::open(Disk::file(lab.path("image")), alone)).unwrap();
    now(image.read_at(0, &mut [0; 512])).unwrap();
    assert_eq!(image.cached_host_offset(0, 512), None);
}
