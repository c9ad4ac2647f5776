//! Checking images whose metadata are large, against `qemu-img check`: CPU time, both in one run.
//!
//! `check` makes its images in `target/bench`: files that are mostly holes, with real tables. Fails where the engine
//! takes longer than QEMU.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};

use qcow2_web::storage::FileStorage;
use qcow2_web::{CheckOptions, Verdict, check, now_or_never};

#[path = "../cpu.rs"]
mod cpu;

/// By name: the size of the disk, and its options. Every cluster is allocated.
const IMAGES: [(&str, &str, &str); 3] = [
    ("256 GiB in 64 KiB clusters", "256G", "preallocation=metadata"),
    ("16 GiB in 4 KiB clusters", "16G", "preallocation=metadata,cluster_size=4k"),
    ("64 GiB, extended L2", "64G", "preallocation=metadata,extended_l2=on"),
];
const ROUNDS: usize = 5;

fn main() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let path = folder.join("check.qcow2");
    println!("{:<32}{:>14}{:>14}{:>10}", "CPU seconds, medians", "qemu-img", "this engine", "ratio");
    let mut held = true;
    for (name, size, options) in IMAGES {
        qemu(&["create", "-q", "-f", "qcow2", "-o", options], &path, &[size]);
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            theirs.push(cpu::time_of_children(|| qemu(&["check", "-q", "-f", "qcow2"], &path, &[])));
            ours.push(cpu::time(|| check_image(&path)));
        }
        let (theirs, ours) = (median(theirs), median(ours));
        println!("{name:<32}{theirs:>14.3}{ours:>14.3}{:>10.2}", ours / theirs);
        held &= ours <= theirs;
    }
    std::fs::remove_file(&path).expect("it was made");
    exit(if held { 0 } else { 1 });
}

fn check_image(path: &Path) {
    let file = FileStorage::open(path).expect("it was made");
    let report =
        now_or_never(check(&file, CheckOptions::new())).expect("files are always ready").expect("it is readable");
    assert_eq!(report.verdict(), Verdict::Clean);
}

fn qemu(before: &[&str], path: &Path, after: &[&str]) {
    let status = Command::new("qemu-img").args(before).arg(path).args(after).stdout(Stdio::null()).status();
    assert!(status.expect("qemu-img runs (of the package qemu-utils)").success(), "{before:?} {after:?}");
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
