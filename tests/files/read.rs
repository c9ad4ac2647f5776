//! Every file system, read as a browser reads it.

use tempfile::TempDir;

use crate::lab::{self, Disk, compare, compare_dos, dos_tree, unix_tree};

fn tree(fill: fn(&std::path::Path)) -> (TempDir, TempDir) {
    let tree = TempDir::new().unwrap();
    fill(tree.path());
    (TempDir::new().unwrap(), tree)
}

#[test]
fn ext2_ext3_and_ext4_are_read() {
    let (folder, tree) = tree(unix_tree);
    for (kind, more) in [
        ("ext4", &[][..]),
        ("ext4", &["-b", "1024", "-O", "^metadata_csum,^64bit"][..]),
        ("ext2", &["-b", "1024"][..]),
        ("ext3", &[][..]),
    ] {
        let image = lab::ext(folder.path(), tree.path(), kind, more);
        let disk = Disk::open(&image);
        compare(&disk, &mut disk.volume("disk"), tree.path());
        std::fs::remove_file(image).unwrap();
    }
}

#[test]
fn fat12_fat16_and_fat32_are_read() {
    let (folder, tree) = tree(dos_tree);
    for (bits, size) in [("12", 8 << 20), ("16", 32 << 20), ("32", 320 << 20)] {
        let disk = Disk::open(&lab::fat(folder.path(), tree.path(), bits, size));
        compare_dos(&disk, &mut disk.volume("disk"), tree.path());
    }
}

#[test]
fn exfat_is_read() {
    if !lab::can_mount() {
        return;
    }
    let (folder, tree) = tree(dos_tree);
    std::fs::write(tree.path().join("names/emoji 🦀; semicolon.bin"), "crab").unwrap();
    let disk = Disk::open(&lab::exfat(folder.path(), tree.path()));
    compare_dos(&disk, &mut disk.volume("disk"), tree.path());
}

#[test]
fn ntfs_is_read() {
    if !lab::can_mount() {
        return;
    }
    let (folder, tree) = tree(dos_tree);
    std::fs::write(tree.path().join("names/emoji 🦀; semicolon.bin"), "crab").unwrap();
    let disk = Disk::open(&lab::ntfs(folder.path(), tree.path()));
    compare_dos(&disk, &mut disk.volume("disk"), tree.path());
}

#[test]
fn iso_9660_is_read_by_rock_ridge() {
    let (folder, tree) = tree(unix_tree);
    let image = folder.path().join("rock.iso");
    let args = ["-as", "mkisofs", "-quiet", "-R", "-J", "-V", "LABEL", "-o", lab::text(&image), lab::text(tree.path())];
    lab::run("xorriso", &args);
    let disk = Disk::open(&image);
    compare(&disk, &mut disk.volume("disk"), tree.path());
}

#[test]
fn udf_is_read() {
    let (folder, tree) = tree(dos_tree);
    let image = folder.path().join("udf.iso");
    lab::run("genisoimage", &["-quiet", "-udf", "-D", "-V", "LABEL", "-o", lab::text(&image), lab::text(tree.path())]);
    let disk = Disk::open(&image);
    compare_dos(&disk, &mut disk.volume("disk"), tree.path());
}

#[test]
fn btrfs_is_read() {
    let (folder, tree) = tree(unix_tree);
    let disk = Disk::open(&lab::btrfs(folder.path(), tree.path()));
    compare(&disk, &mut disk.volume("disk"), tree.path());
}

#[test]
fn xfs_is_read() {
    if !lab::can_mount() {
        return;
    }
    let (folder, tree) = tree(unix_tree);
    for more in [&[][..], &["-m", "bigtime=0", "-n", "size=8192"][..]] {
        let image = lab::xfs(folder.path(), tree.path(), more);
        let disk = Disk::open(&image);
        compare(&disk, &mut disk.volume("disk"), tree.path());
        std::fs::remove_file(image).unwrap();
    }
}

#[test]
fn hfsplus_is_read() {
    let (folder, tree) = tree(dos_tree);
    std::os::unix::fs::symlink("sizes/4097.bin", tree.path().join("link")).unwrap();
    // The file system stores names decomposed; the package composes them.
    std::fs::remove_file(tree.path().join("names/Grüße aus Köln.txt")).unwrap();
    let hybrid = folder.path().join("hybrid.iso");
    let args =
        ["-as", "mkisofs", "-quiet", "-hfsplus", "-V", "LABEL", "-o", lab::text(&hybrid), lab::text(tree.path())];
    lab::run("xorriso", &args);
    // The file system lies within the image of the disc, at a block of 2048 bytes.
    let bytes = std::fs::read(&hybrid).unwrap();
    let start = (0..bytes.len()).step_by(2048).find(|at| bytes[at + 1024..].starts_with(b"H+\0\x04")).unwrap();
    let image = folder.path().join("hfsplus.img");
    std::fs::write(&image, &bytes[start..]).unwrap();
    let disk = Disk::open(&image);
    compare_dos(&disk, &mut disk.volume("disk"), tree.path());
}
