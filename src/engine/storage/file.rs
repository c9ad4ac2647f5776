use std::fs::File;
use std::io;
use std::path::Path;

use super::contract::{Storage, StorageMut};
use super::preallocation::Preallocation;

/// A file of the host's file system. It is always ready.
///
/// While large writes extend the file, Linux allocates space past its end: as much as the file has grown, and at most 64
/// MiB. This does not change the length of the file, and the space is freed when this is dropped. If the process is killed,
/// the file keeps the space until it is truncated. All writes to the file must go through this object meanwhile.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
    preallocation: Preallocation,
}

impl FileStorage {
    /// Opens the file at `path` for reading.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        File::open(path).map(Self::from)
    }

    /// Opens the file at `path` for reading and writing. Creates an empty file if it doesn't exist.
    pub fn open_writable(path: impl AsRef<Path>) -> io::Result<Self> {
        File::options().read(true).write(true).create(true).truncate(false).open(path).map(Self::from)
    }
}

impl From<File> for FileStorage {
    fn from(file: File) -> Self {
        Self { preallocation: Preallocation::new(&file), file }
    }
}

impl Drop for FileStorage {
    fn drop(&mut self) {
        self.preallocation.free(&self.file);
    }
}

impl Storage for FileStorage {
    type Error = io::Error;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        read_exact_at(&self.file, buf, offset)
    }

    async fn size(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }
}

impl StorageMut for FileStorage {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.preallocation.before_write(&self.file, offset, buf.len() as u64);
        write_all_at(&self.file, buf, offset)
    }

    async fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.preallocation.after_set_size(size);
        Ok(())
    }

    async fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, buf, offset)
}

#[cfg(not(unix))]
fn write_all_at(mut file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(buf)
}

#[cfg(unix)]
fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, offset)
}

#[cfg(not(unix))]
fn read_exact_at(mut file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buf)
}
