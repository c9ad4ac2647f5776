//! Images of every file system, made by its own tools.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{run, text};

/// An empty image of `size` bytes.
pub(crate) fn empty(folder: &Path, name: &str, size: u64) -> PathBuf {
    let image = folder.join(name);
    File::create(&image).unwrap().set_len(size).unwrap();
    image
}

/// A file system made by `program`, which takes the image last.
pub(crate) fn made(folder: &Path, size: u64, program: &str, args: &[&str]) -> PathBuf {
    let image = empty(folder, &format!("{program}.img"), size);
    run(program, &[args, &[text(&image)]].concat());
    image
}

/// ext2, ext3 or ext4 with the files of `tree`, by mke2fs.
pub(crate) fn ext(folder: &Path, tree: &Path, kind: &str, more: &[&str]) -> PathBuf {
    let image = empty(folder, &format!("{kind}.img"), 64 << 20);
    let args = ["-q", "-F", "-t", kind, "-L", "label", "-d", text(tree)];
    run("mke2fs", &[&args, more, &[text(&image)]].concat());
    image
}

/// FAT with the files of `tree`, by mkfs.vfat and mtools.
pub(crate) fn fat(folder: &Path, tree: &Path, bits: &str, size: u64) -> PathBuf {
    let image = empty(folder, &format!("fat{bits}.img"), size);
    run("mkfs.vfat", &["-F", bits, "-n", "LABEL", "-i", "1234abcd", text(&image)]);
    for entry in fs::read_dir(tree).unwrap() {
        run("mcopy", &["-s", "-i", text(&image), text(&entry.unwrap().path()), "::"]);
    }
    image
}

/// A file system that is filled while the kernel, or a program, has it mounted.
pub(crate) fn mounted(folder: &Path, image: &Path, tree: &Path, mount: &[&str], also: impl FnOnce(&Path)) {
    let place = folder.join("mounted");
    fs::create_dir_all(&place).unwrap();
    let (program, args) = mount.split_first().unwrap();
    run(program, &[args, &[text(image), text(&place)]].concat());
    // Unmounts also after a failure.
    let _mounted = Mounted(place.clone());
    run("cp", &["-a", "--sparse=always", &format!("{}/.", text(tree)), text(&place)]);
    also(&place);
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

/// True if images can be mounted here. Some file systems have no other tool that fills them.
pub(crate) fn can_mount() -> bool {
    let root = run("id", &["-u"]).trim() == "0";
    if !root {
        eprintln!("not tested: mounting an image needs root");
    }
    root
}

/// XFS with the files of `tree`.
pub(crate) fn xfs(folder: &Path, tree: &Path, more: &[&str]) -> PathBuf {
    let image = made(folder, 320 << 20, "mkfs.xfs", &[&["-q", "-L", "label"], more].concat());
    mounted(folder, &image, tree, &["mount", "-o", "loop"], |_| {});
    image
}

/// btrfs with the files of `tree`.
pub(crate) fn btrfs(folder: &Path, tree: &Path) -> PathBuf {
    made(folder, 160 << 20, "mkfs.btrfs", &["-q", "-L", "label", "--rootdir", text(tree)])
}

/// NTFS with the files of `tree`.
pub(crate) fn ntfs(folder: &Path, tree: &Path) -> PathBuf {
    let image = made(folder, 64 << 20, "mkntfs", &["-q", "-F", "-L", "label"]);
    mounted(folder, &image, tree, &["ntfs-3g"], |_| {});
    image
}

/// exFAT with the files of `tree`.
pub(crate) fn exfat(folder: &Path, tree: &Path) -> PathBuf {
    let image = made(folder, 64 << 20, "mkfs.exfat", &["-L", "label"]);
    let device = run("losetup", &["-f", "--show", text(&image)]).trim().to_owned();
    mounted(folder, Path::new(&device), tree, &["mount.exfat-fuse"], |_| {});
    run("losetup", &["-d", &device]);
    image
}
