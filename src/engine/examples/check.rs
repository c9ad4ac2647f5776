//! Checks an image as `qemu-img check` does: `cargo run --example check disk.qcow2`.

use std::error::Error;
use std::path::Path;

use qcow2_web::blocking::wait;
use qcow2_web::storage::FileStorage;
use qcow2_web::{CheckOptions, CheckReport, check};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: check IMAGE")?;
    let report = report(Path::new(&path))?;
    for finding in &report.findings {
        println!("{:?} {}: {finding}", finding.severity(), finding.code());
    }
    println!("{} corruptions, {} leaked clusters", report.corruptions, report.leaks);
    std::process::exit(report.verdict().exit_code().into())
}

/// Checks the image, which need not be openable.
pub fn report(path: &Path) -> Result<CheckReport, Box<dyn Error>> {
    let file = FileStorage::open(path)?;
    Ok(wait(check(&file, CheckOptions::new().max_findings(100)))?)
}
