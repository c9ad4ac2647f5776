//! Creates an image and writes to it: `cargo run --example create_and_write disk.qcow2`.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use qcow2_web::blocking::wait;
use qcow2_web::storage::FileStorage;
use qcow2_web::{CreateOptions, OpenOptions, SnapshotOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: create_and_write IMAGE")?;
    create_and_write(Path::new(&path))
}

/// Creates an image of 1 GiB with a snapshot between two writes.
pub fn create_and_write(path: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::write(path, b"")?;
    // A clone of a storage must be the same storage.
    let file = Rc::new(FileStorage::open_writable(path)?);
    let image = wait(CreateOptions::new(1 << 30).create(file, OpenOptions::new()))?;
    wait(image.write_at(0, b"before the snapshot"))?;
    let options = SnapshotOptions::new("first");
    wait(image.create_snapshot(&options, |_progress| ControlFlow::Continue(())))?;
    wait(image.write_at(0, b"after the snapshot!"))?;
    // Written bytes are durable once a flush has completed. After `close`, the image also needs no repair.
    wait(image.flush())?;
    wait(image.close())?;
    Ok(())
}
