//! Converts an image to a raw disk: `cargo run --example convert disk.qcow2 disk.raw`.

use std::error::Error;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use qcow2_web::blocking::wait;
use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions};

/// How many bytes are read at once.
const SEGMENT: u64 = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = std::env::args_os().skip(1);
    let (Some(from), Some(to)) = (paths.next(), paths.next()) else { return Err("usage: convert IMAGE RAW".into()) };
    convert(Path::new(&from), Path::new(&to))
}

/// Writes the disk as a sparse raw file: parts that read as zeros become holes.
pub fn convert(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let image = wait(Image::open(FileStorage::open(from)?, OpenOptions::new()))?;
    let mut raw = File::create(to)?;
    raw.set_len(image.size())?;
    let mut map = image.map(0, image.size())?;
    let mut buffer = Vec::new();
    while let Some(extent) = wait(map.next())? {
        if extent.zero {
            continue;
        }
        let end = extent.start + extent.length;
        for offset in (extent.start..end).step_by(usize::try_from(SEGMENT)?) {
            buffer.resize(usize::try_from(SEGMENT.min(end - offset))?, 0);
            wait(image.read_at(offset, &mut buffer))?;
            raw.seek(SeekFrom::Start(offset))?;
            raw.write_all(&buffer)?;
        }
    }
    raw.sync_all()?;
    Ok(())
}
