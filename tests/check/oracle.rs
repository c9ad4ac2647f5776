//! What `qemu-img check` says.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The numbers of a check, ours or QEMU's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    pub check_errors: u64,
    pub corruptions: u64,
    pub leaks: u64,
    pub total: u64,
    pub allocated: u64,
    pub fragmented: u64,
    pub compressed: u64,
    pub image_end: u64,
}

/// How a check ended, and what it said; no numbers where the image could not be checked at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub exit_code: i32,
    pub numbers: Option<Numbers>,
    pub complaint: String,
}

/// Asks `qemu-img check` about the image, with `arguments` besides.
pub fn ask(folder: &Path, name: &str, arguments: &[&str]) -> Said {
    let output = Command::new("qemu-img")
        .args(["check", "--output=json", "-f", "qcow2"])
        .args(arguments)
        .arg(name)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .output()
        .expect("qemu-img runs (of the package qemu-utils)");
    let numbers = serde_json::from_slice(&output.stdout).ok().map(|said: Value| {
        let number = |key: &str| said[key].as_u64().unwrap_or(0);
        Numbers {
            check_errors: number("check-errors"),
            corruptions: number("corruptions"),
            leaks: number("leaks"),
            total: number("total-clusters"),
            allocated: number("allocated-clusters"),
            fragmented: number("fragmented-clusters"),
            compressed: number("compressed-clusters"),
            image_end: number("image-end-offset"),
        }
    });
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { exit_code: output.status.code().unwrap_or(-1), numbers, complaint }
}
