//! Reads the disk of an image: `cargo run --example read disk.qcow2 [backing.raw]` prints its first sector.

use std::error::Error;
use std::path::Path;

use qcow2_web::blocking::wait;
use qcow2_web::storage::FileStorage;
use qcow2_web::{BackingFile, BackingFormat, Image, OpenOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let [image, backing @ ..] = &*paths else { return Err("usage: read IMAGE [RAW-BACKING-FILE]".into()) };
    let sector = first_sector(Path::new(image), backing.first().map(Path::new))?;
    println!("{}", sector.escape_ascii());
    Ok(())
}

/// Reads the first 512 bytes of the disk.
pub fn first_sector(image: &Path, backing: Option<&Path>) -> Result<Vec<u8>, Box<dyn Error>> {
    // The name that the image records is never followed: the caller supplies the backing file.
    let mut files = Vec::new();
    if let Some(path) = backing {
        files.push(BackingFile { format: Some(BackingFormat::Raw), ..BackingFile::from(FileStorage::open(path)?) });
    }
    let image = wait(Image::open(FileStorage::open(image)?, OpenOptions::new().backing(files)))?;
    let mut sector = vec![0; 512];
    wait(image.read_at(0, &mut sector))?;
    Ok(sector)
}
