//! What is found on a disk: partitions, logical volumes, and the types of file systems.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use qcow2_web_files::disk::{Key, Scheme};
use qcow2_web_files::probe::{Support, Type};
use qcow2_web_files::source::{Decrypted, Device};
use tempfile::TempDir;

use crate::lab::{self, Disk, compare, dos_tree, text, unix_tree};

const MIB: u64 = 1 << 20;

/// A disk of `size` bytes with the partitions that sfdisk reads from `script`.
fn partitioned(folder: &Path, size: u64, script: &str) -> PathBuf {
    let disk = lab::empty(folder, "disk.img", size);
    let commands = folder.join("sfdisk");
    fs::write(&commands, script).unwrap();
    lab::run("sh", &["-c", &format!("sfdisk --quiet {} < {}", text(&disk), text(&commands))]);
    disk
}

/// Copies `image` to `offset` of `disk`.
fn place(disk: &Path, offset: u64, image: &Path) {
    let file = OpenOptions::new().write(true).open(disk).unwrap();
    file.write_all_at(&fs::read(image).unwrap(), offset).unwrap();
}

#[test]
fn partitions_of_a_gpt_are_found_also_by_its_backup() {
    let (folder, tree) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    unix_tree(tree.path());
    let script = "label: gpt\nstart=2048, size=65536, name=\"first\"\nsize=131072, name=\"Zweite\"\n";
    let image = partitioned(folder.path(), 128 * MIB, script);
    place(&image, MIB + 65536 * 512, &lab::ext(folder.path(), tree.path(), "ext4", &[]));
    for damaged in [false, true] {
        if damaged {
            let file = OpenOptions::new().write(true).open(&image).unwrap();
            file.write_all_at(&[0xff; 512], 512).unwrap();
        }
        let disk = Disk::open(&image);
        let scan = disk.scan();
        assert_eq!(scan.scheme, Some(Scheme::Gpt));
        assert_eq!(scan.problems.len(), usize::from(damaged), "{:?}", scan.problems);
        let found: Vec<_> = scan.volumes.iter().map(|volume| (volume.id.as_str(), volume.offset)).collect();
        assert_eq!(found, [("p1", Some(MIB)), ("p2", Some(MIB + 65536 * 512))]);
        assert_eq!(scan.volumes[0].recognised, None);
        assert_eq!(scan.volumes[1].partition.as_ref().unwrap().name.as_deref(), Some("Zweite"));
        let ext = scan.volumes[1].recognised.as_ref().unwrap();
        assert_eq!((ext.kind, ext.label.as_deref(), ext.size), (Type::Ext4, Some("label"), Some(64 * MIB)));
        assert!(ext.usage.is_some_and(|usage| usage.used > 4 * MIB && usage.used + usage.free == 64 * MIB));
        compare(&disk, &mut disk.volume("p2"), tree.path());
    }
}

#[test]
fn logical_partitions_of_an_mbr_are_found() {
    let (folder, tree) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    dos_tree(tree.path());
    let script = "label: dos\nstart=2048, size=2048, type=83\nstart=4096, type=5\nstart=6144, size=20480, type=b\n\
                  start=28672, size=20480, type=83\n";
    let image = partitioned(folder.path(), 64 * MIB, script);
    place(&image, 6144 * 512, &lab::fat(folder.path(), tree.path(), "12", 8 * MIB));
    let disk = Disk::open(&image);
    let scan = disk.scan();
    assert_eq!(scan.scheme, Some(Scheme::Mbr));
    let found: Vec<_> = scan.volumes.iter().map(|volume| (volume.id.as_str(), volume.offset)).collect();
    assert_eq!(found, [("p1", Some(MIB)), ("p5", Some(6144 * 512)), ("p6", Some(28672 * 512))]);
    let fat = scan.volumes[1].recognised.as_ref().unwrap();
    assert_eq!((fat.kind, fat.label.as_deref(), fat.uuid.as_deref()), (Type::Fat12, Some("LABEL"), Some("1234-ABCD")));
    lab::compare_dos(&disk, &mut disk.volume("p5"), tree.path());
}

#[test]
fn linear_and_striped_logical_volumes_are_found() {
    if !lab::can_mount() {
        return;
    }
    let (folder, tree) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    unix_tree(tree.path());
    let image = partitioned(folder.path(), 256 * MIB, "label: gpt\nsize=120M\nsize=120M\n");
    let starts = [MIB, 121 * MIB];
    let devices = starts.map(|start| Loop::new(&image, start, 120 * MIB));
    let [one, other] = devices.each_ref().map(|device| format!("\"a|^{}$|\"", device.0));
    let config = format!("devices {{ filter=[{one},{other},\"r|.*|\"] use_devicesfile=0 }} log {{ silent=1 }}");
    let lvm = |args: &[&str]| lab::run("lvm", &[&args[..1], &["--config", &config], &args[1..]].concat());
    lvm(&["pvcreate", "-ff", "-y", &devices[0].0, &devices[1].0]);
    lvm(&["vgcreate", "group", &devices[0].0, &devices[1].0]);
    // Without a device mapper the tool makes no volumes, but it takes what describes them.
    let backup = folder.path().join("backup");
    lvm(&["vgcfgbackup", "-f", text(&backup), "group"]);
    let described = fs::read_to_string(&backup).unwrap();
    let (before, after) = described.rsplit_once("\n}\n").unwrap();
    let volume = |name: &str, number: usize, segments: &str| {
        format!(
            "{name} {{\nid = \"AAAAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAAA{number}\"\nstatus = [\"READ\", \"WRITE\", \
             \"VISIBLE\"]\nflags = []\n{segments}\n}}\n"
        )
    };
    let linear = "segment_count = 2\nsegment1 {\nstart_extent = 0\nextent_count = 10\ntype = \"striped\"\nstripe_count = 1\n\
                  stripes = [\"pv1\", 1]\n}\nsegment2 {\nstart_extent = 10\nextent_count = 6\ntype = \"striped\"\n\
                  stripe_count = 1\nstripes = [\"pv0\", 2]\n}";
    let striped = "segment_count = 1\nsegment1 {\nstart_extent = 0\nextent_count = 16\ntype = \"striped\"\nstripe_count = 2\n\
                   stripe_size = 128\nstripes = [\"pv0\", 20, \"pv1\", 20]\n}";
    let volumes = volume("linear", 1, linear) + &volume("striped", 2, striped);
    fs::write(&backup, format!("{before}\nlogical_volumes {{\n{volumes}}}\n}}\n{after}")).unwrap();
    lvm(&["vgcfgrestore", "-f", text(&backup), "group"]);
    drop(devices);

    // One file system, laid out in both ways.
    let ext = fs::read(lab::ext(folder.path(), tree.path(), "ext4", &[])).unwrap();
    let file = OpenOptions::new().write(true).open(&image).unwrap();
    let extent = 4 * MIB;
    let at = |device: usize, number: u64| starts[device] + MIB + number * extent;
    let (first, second) = ext.split_at(40 << 20);
    file.write_all_at(first, at(1, 1)).unwrap();
    file.write_all_at(second, at(0, 2)).unwrap();
    for (number, stripe) in (0..).zip(ext.chunks(64 << 10)) {
        file.write_all_at(stripe, at((number % 2) as usize, 20) + number / 2 * (64 << 10)).unwrap();
    }
    let disk = Disk::open(&image);
    let ids: Vec<_> = disk.scan().volumes.into_iter().map(|volume| volume.id).collect();
    assert_eq!(ids, ["p1", "p2", "group/linear", "group/striped"]);
    compare(&disk, &mut disk.volume("group/linear"), tree.path());
    compare(&disk, &mut disk.volume("group/striped"), tree.path());
    a_physical_volume_in_a_container_is_found(folder.path(), &image, tree.path());
}

/// Moves the first physical volume into a container of LUKS. What is in it stays as it is: the key here decrypts nothing.
fn a_physical_volume_in_a_container_is_found(folder: &Path, plain: &Path, tree: &Path) {
    const HEADER: u64 = 16 * MIB;
    let container = lab::empty(folder, "container.img", 140 * MIB);
    let password = folder.join("password");
    fs::write(&password, "open sesame").unwrap();
    let cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--disable-locks", "--batch-mode"];
    let format = ["luksFormat", "--type", "luks2", "--key-file", text(&password), text(&container)];
    lab::run("cryptsetup", &[&cheap[..], &format].concat());
    let bytes = fs::read(plain).unwrap();
    let part = |start: u64| &bytes[usize::try_from(start).unwrap()..usize::try_from(start + 120 * MIB).unwrap()];
    let file = OpenOptions::new().write(true).open(&container).unwrap();
    file.write_all_at(part(MIB), HEADER).unwrap();
    let image = partitioned(folder, 300 * MIB, "label: gpt\nsize=140M\nsize=120M\n");
    place(&image, MIB, &container);
    let file = OpenOptions::new().write(true).open(&image).unwrap();
    file.write_all_at(part(121 * MIB), 141 * MIB).unwrap();

    let disk = Disk::open(&image);
    let locked = disk.scan();
    let found: Vec<_> = locked.volumes.iter().map(|volume| (volume.id.as_str(), volume.problem.is_some())).collect();
    assert_eq!(found, [("p1", false), ("p2", false), ("group/linear", true), ("group/striped", true)]);
    assert_eq!(locked.volumes[0].recognised.as_ref().unwrap().kind, Type::Luks2);
    let open = |device: Rc<dyn Device>| -> Rc<dyn Device> {
        Rc::new(Decrypted::new(device, HEADER, u64::MAX, 0, Box::new(|_, _| true)))
    };
    let keys = [Key { id: "p1".into(), open: Box::new(open) }];
    let scan = disk.scan_with(&keys);
    let ids: Vec<_> = scan.volumes.iter().map(|volume| volume.id.as_str()).collect();
    assert_eq!(ids, ["p1", "p1/content", "p2", "group/linear", "group/striped"]);
    lab::compare_decrypted(&disk, &mut disk.volume_of(scan, "group/striped"), tree);
    compare(&disk, &mut disk.volume_of(disk.scan_with(&keys), "group/linear"), tree);
}

/// A part of an image as a block device.
struct Loop(String);

impl Loop {
    fn new(image: &Path, start: u64, size: u64) -> Self {
        let (start, size) = (start.to_string(), size.to_string());
        Self(lab::run("losetup", &["-f", "--show", "-o", &start, "--sizelimit", &size, text(image)]).trim().into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        lab::run("losetup", &["-d", &self.0]);
    }
}

#[test]
fn every_type_is_recognised_with_its_label() {
    let folder = TempDir::new().unwrap();
    let make = |size: u64, program: &str, args: &[&str]| lab::made(folder.path(), size, program, args);
    let squash = folder.path().join("squash.img");
    let source = folder.path().join("empty");
    fs::create_dir(&source).unwrap();
    lab::run("mksquashfs", &[text(&source), text(&squash), "-quiet"]);
    for (image, kind, label) in [
        (make(64 * MIB, "mkfs.exfat", &["-L", "Grüße"]), Type::ExFat, Some("Grüße")),
        (make(64 * MIB, "mkntfs", &["-q", "-F", "-L", "Grüße"]), Type::Ntfs, Some("Grüße")),
        (make(160 * MIB, "mkfs.btrfs", &["-q", "-L", "Grüße"]), Type::Btrfs, Some("Grüße")),
        (make(320 * MIB, "mkfs.xfs", &["-q", "-L", "label"]), Type::Xfs, Some("label")),
        (make(16 * MIB, "mkswap", &["-q", "-L", "label"]), Type::Swap, Some("label")),
        (squash, Type::SquashFs, None),
    ] {
        let scan = Disk::open(&image).scan();
        let found = scan.volumes[0].recognised.as_ref().unwrap_or_else(|| panic!("{kind:?} is not recognised"));
        assert_eq!((found.kind, found.label.as_deref()), (kind, label));
        if kind != Type::SquashFs {
            assert!(found.uuid.is_some(), "{kind:?} has no identifier");
        }
        assert_eq!(kind.support() == Support::Files, !matches!(kind, Type::Swap | Type::SquashFs));
    }
}

#[test]
fn an_empty_disk_has_one_unknown_volume() {
    let folder = TempDir::new().unwrap();
    for size in [0, 1, 511, 512, 4096, 100_000, 10 * MIB] {
        let scan = Disk::open(&lab::empty(folder.path(), "empty.img", size)).scan();
        assert_eq!((scan.scheme, scan.volumes.len()), (None, 1), "{size}");
        assert_eq!(scan.volumes[0].recognised, None, "{size}");
    }
}

#[test]
fn a_partition_past_the_end_of_the_disk_says_how_much_is_missing() {
    let (folder, tree) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    dos_tree(tree.path());
    let image = partitioned(folder.path(), 64 * MIB, "label: dos\nstart=2048, type=83\n");
    place(&image, MIB, &lab::ext(folder.path(), tree.path(), "ext4", &[]));
    OpenOptions::new().write(true).open(&image).unwrap().set_len(48 * MIB).unwrap();
    let disk = Disk::open(&image);
    let scan = disk.scan();
    let expected = "the disk ends before the partition: 16777216 of its 66060288 bytes are missing and cannot be read";
    assert_eq!(scan.volumes[0].problem.as_deref(), Some(expected));
    // What is there can be read.
    assert!(disk.on(&mut disk.volume("p1"), |volume| volume.stat(b"/sizes", true)).is_ok());
}
