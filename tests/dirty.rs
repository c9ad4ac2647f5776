//! Images that a program with lazy reference counts left behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, now_or_never};

fn now<F: Future>(future: F) -> F::Output {
    now_or_never(future).expect("a file is always ready")
}

fn qemu(program: &str, args: &[&str], path: &Path) -> std::process::Output {
    Command::new(program).args(args).arg(path).output().unwrap()
}

/// QEMU writes to the image and dies before it writes the counts.
fn left_dirty(folder: &Path, options: &str) -> std::path::PathBuf {
    let path = folder.join("dirty.qcow2");
    let options = format!("lazy_refcounts=on,{options}");
    let created =
        Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-o", &options]).arg(&path).arg("64M").output();
    assert!(created.unwrap().status.success());
    let writes = ["-c", "write -P 1 0 1M", "-c", "write -P 2 40M 70k", "-c", "flush", "-c", "abort"];
    assert!(!qemu("qemu-io", &writes, &path).status.success(), "qemu-io aborts");
    path
}

#[test]
fn counts_are_rebuilt_at_a_writable_opening() {
    for options in ["cluster_size=64k", "cluster_size=512", "cluster_size=16k,extended_l2=on", "refcount_bits=1"] {
        let folder = tempfile::tempdir().unwrap();
        let path = left_dirty(folder.path(), options);
        let reader = now(Image::open(FileStorage::open(&path).unwrap(), OpenOptions::new())).unwrap();
        assert!(reader.is_dirty(), "{options}");

        let image = now(Image::open_writable(FileStorage::open_writable(&path).unwrap(), OpenOptions::new())).unwrap();
        assert!(!image.is_dirty(), "{options}");
        assert!(!now(image.info()).unwrap().dirty, "{options}");
        now(image.write_at(20 << 20, &[3; 1000])).unwrap();
        now(image.close()).unwrap();

        let check = qemu("qemu-img", &["check", "-f", "qcow2"], &path);
        // What held the counts before is leaked or free; nothing may be damaged.
        assert!(check.status.success(), "{options}: {}", String::from_utf8_lossy(&check.stdout));
        let reads = ["-r", "-c", "read -P 1 0 1M", "-c", "read -P 2 40M 70k", "-c", "read -P 3 20M 1000"];
        let read = qemu("qemu-io", &reads, &path);
        let output = String::from_utf8_lossy(&read.stdout);
        assert!(read.status.success() && !output.contains("failed"), "{options}: {output}");
    }
}
