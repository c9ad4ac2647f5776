//! Contents that are not simply side by side on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use qcow2_web_files::{Code, Content, Error};
use tempfile::TempDir;

use crate::lab::{self, Disk, compare_contents, content};

const MIB: u64 = 1 << 20;

/// Writes files in fragments and with holes into a file system that is mounted at `root`.
fn fill(root: &Path) {
    let [mut one, mut two] = ["one", "two"].map(|name| File::create(root.join(name)).unwrap());
    for part in 0..40 {
        one.write_all(&content(part, 20_000)).unwrap();
        two.write_all(&content(1000 + part, 4_096 * (part % 3))).unwrap();
        // What is written between two of these lies together.
        one.sync_all().unwrap();
        two.sync_all().unwrap();
    }
    let holes = File::create(root.join("holes")).unwrap();
    for (seed, at) in [0, 70_000, MIB, 5 * MIB + 511, 80 * MIB].into_iter().enumerate() {
        holes.write_all_at(&content(2000 + seed, 9_999), at).unwrap();
    }
    let longer = File::create(root.join("longer than its contents")).unwrap();
    longer.write_all_at(&content(3000, 100_000), 0).unwrap();
    longer.set_len(3 * MIB + 5).unwrap();
    File::create(root.join("only a hole")).unwrap().set_len(2 * MIB).unwrap();
}

/// As [`fill`], with what only the kernel's file systems have: extents that are allocated but not written.
fn fill_unix(root: &Path) {
    fill(root);
    let unwritten = root.join("unwritten");
    lab::run("fallocate", &["-l", "2M", lab::text(&unwritten)]);
    let file = OpenOptions::new().write(true).open(&unwritten).unwrap();
    file.write_all_at(&content(4000, 50_000), MIB).unwrap();
    file.sync_all().unwrap();
}

/// Fills an image that is mounted, and compares its files with a copy.
fn check(image: &Path, mount: &[&str], fill: fn(&Path)) {
    let (folder, empty, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    lab::mounted(folder.path(), image, empty.path(), mount, |root| {
        fill(root);
        // What the kernel writes after the image is unmounted would be missing.
        lab::run("sync", &["-f", lab::text(root)]);
        lab::run("cp", &["-r", "--sparse=always", &format!("{}/.", lab::text(root)), lab::text(copy.path())]);
    });
    fs::remove_dir_all(folder.path().join("mounted")).unwrap();
    let _ = fs::remove_dir(copy.path().join("lost+found"));
    eprintln!("{} {mount:?}", image.display());
    let disk = Disk::open(image);
    compare_contents(&disk, &mut disk.volume("disk"), copy.path(), mount.iter().any(|arg| arg.contains("compress")));
}

#[test]
fn fragments_holes_and_unwritten_extents_are_read() {
    if !lab::can_mount() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let kernel: &[&str] = &["mount", "-o", "loop"];
    for (program, options) in [
        ("mkfs.ext4", &["-q", "-F"][..]),
        ("mkfs.ext4", &["-q", "-F", "-b", "1024", "-O", "^extents,^64bit"][..]),
        ("mkfs.xfs", &["-q"][..]),
        ("mkfs.btrfs", &["-q"][..]),
    ] {
        let image = lab::made(folder.path(), 400 << 20, program, options);
        check(&image, kernel, if options.contains(&"^extents,^64bit") { fill } else { fill_unix });
    }
    for compression in ["zlib", "lzo", "zstd"] {
        let image = lab::made(folder.path(), 160 << 20, "mkfs.btrfs", &["-q"]);
        check(&image, &["mount", "-o", &format!("loop,compress-force={compression}")], fill_unix);
    }
    let image = lab::made(folder.path(), 160 << 20, "mkntfs", &["-q", "-F"]);
    check(&image, &["ntfs-3g"], fill);
}

#[test]
fn a_chain_of_fat_in_fragments_is_read() {
    let (folder, tree) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let image = lab::made(folder.path(), 8 << 20, "mkfs.vfat", &["-s", "1"]);
    let copy = |name: &str, length| {
        fs::write(tree.path().join(name), content(length, length)).unwrap();
        lab::run("mcopy", &["-i", lab::text(&image), lab::text(&tree.path().join(name)), "::"]);
    };
    for index in 0..60 {
        copy(&format!("{index}"), 3000);
    }
    for index in (0..60).step_by(2) {
        lab::run("mdel", &["-i", lab::text(&image), &format!("::{index}")]);
        fs::remove_file(tree.path().join(format!("{index}"))).unwrap();
    }
    // Fills the gaps first.
    copy("fragmented", 7_000_000);
    let disk = Disk::open(&image);
    compare_contents(&disk, &mut disk.volume("disk"), tree.path(), false);
    let extents = disk.on(&mut disk.volume("disk"), |volume| volume.extents(b"/fragmented", 0, 7_000_000)).unwrap();
    assert!(extents.len() > 10, "{}", extents.len());
}

/// An ext4 image with one file, and where that file's inode is.
fn one_file(folder: &Path, options: &[&str]) -> (PathBuf, u64) {
    let tree = TempDir::new().unwrap();
    fs::write(tree.path().join("file"), content(1, 1 << 20)).unwrap();
    let image = lab::ext(folder, tree.path(), "ext4", options);
    let place = lab::run("debugfs", &["-R", "imap /file", lab::text(&image)]);
    // "Inode 12 is part of block group 0\n\tlocated at block 35, offset 0x0b00"
    let words: Vec<&str> = place.split([' ', ',', '\n']).collect();
    let after = |word: &str| words[words.iter().position(|each| *each == word).unwrap() + 1];
    let block: u64 = after("block").parse().unwrap_or_else(|_| {
        let last = words.iter().rposition(|each| *each == "block").unwrap();
        words[last + 1].parse().unwrap()
    });
    (image, block * 1024 + u64::from_str_radix(after("offset").trim_start_matches("0x"), 16).unwrap())
}

#[test]
fn hostile_extents_cost_an_error_or_read_as_holes() {
    let folder = TempDir::new().unwrap();
    let (image, inode) = one_file(folder.path(), &["-b", "1024", "-O", "^metadata_csum"]);
    let original = fs::read(&image).unwrap();
    let map = usize::try_from(inode).unwrap() + 40;
    let first_block = u32::from_le_bytes(*original[map + 20..].first_chunk().unwrap());
    let read = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = original.clone();
        change(&mut bytes[map - 40..map + 88]);
        fs::write(&image, bytes).unwrap();
        let disk = Disk::open(&image);
        let mut volume = disk.volume("disk");
        let found = disk.on(&mut volume, |volume| volume.extents(b"/file", 0, 1 << 20));
        // The same by the parser alone.
        let bytes = disk.on(&mut volume, |volume| volume.read(b"/file", 0, 1 << 20));
        assert_eq!(found.is_ok(), bytes.is_ok());
        found
    };
    let code = |result: qcow2_web_files::Result<_>| match result {
        Err(Error::Failed(code, _)) => code,
        other => panic!("{other:?}"),
    };
    assert!(read(&|_| ()).is_ok());
    // The first block lies beyond the end of the disk.
    assert_eq!(code(read(&|inode| inode[60..64].fill(0xFF))), Code::Damaged);
    // The node has no magic number, or claims to be deeper than trees are.
    assert_eq!(code(read(&|inode| inode[40] = 0)), Code::Damaged);
    assert_eq!(code(read(&|inode| inode[46] = 0xFF)), Code::Damaged);
    // The node has more entries than fit: those that are there count.
    assert!(read(&|inode| inode[42..44].fill(0xFF)).is_ok());
    // A tree that contains itself ends, because each level must be less deep.
    let looped = read(&|inode| {
        inode[46] = 5;
        inode[56..60].copy_from_slice(&first_block.to_le_bytes());
    });
    assert_eq!(code(looped), Code::Damaged);
    // An extent of no blocks, and one that is not written: a hole.
    for length in [[0, 0], [0xFF, 0xFF]] {
        let extents = read(&|inode| inode[56..58].copy_from_slice(&length)).unwrap();
        assert_eq!(extents[0].content, Content::Zeros);
    }
    // The file claims to have a terabyte.
    let huge = read(&|inode| inode[109] = 1).unwrap();
    assert_eq!(huge.iter().map(|extent| extent.length).sum::<usize>(), 1 << 20);
}
