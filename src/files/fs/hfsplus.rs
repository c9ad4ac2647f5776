//! HFS+, read by the crate hfsplus.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use hfsplus::{HfsPlusError, HfsVolume, btree, catalog};

use super::reader::Reader;
use super::{FileSystem, Found, Handle, Kind, MAX_ENTRIES, Metadata, Path, Time, too_many};
use crate::error::{Code, Error, Result};
use crate::source::Device;

/// The crate's reader of a file supports this many extents.
const KNOWN_EXTENTS: u32 = 8;
/// A compressed file is decompressed as a whole, so its size is limited.
const LARGEST_COMPRESSED: u64 = 256 << 20;

pub(super) fn mount(device: Rc<dyn Device>) -> Result<Box<dyn FileSystem>> {
    let device = Reader::new(device);
    let fs = HfsVolume::open(device.clone()).map_err(|error| failed(&error))?;
    Ok(Box::new(HfsPlus { fs, device, whole: None }))
}

/// The last file that had to be read as a whole, with its path.
type Whole = Option<(Path, Vec<u8>)>;

struct HfsPlus {
    fs: HfsVolume<Reader>,
    device: Reader,
    whole: Whole,
}

impl FileSystem for HfsPlus {
    fn stat(&mut self, path: &Path) -> Result<Metadata> {
        let from = self.fs.stat(&path.to_text()?).map_err(|error| failed(&error))?;
        let mode = u32::from(from.permissions.mode);
        Ok(Metadata {
            modified: time(from.modify_date),
            created: time(from.create_date),
            // Mac OS before X left the permissions empty.
            mode: (mode != 0).then_some(mode & 0o7777),
            uid: (mode != 0).then_some(from.permissions.owner_id),
            gid: (mode != 0).then_some(from.permissions.group_id),
            id: Some(u64::from(from.cnid)),
            ..Metadata::new(kind_of(from.kind), from.size)
        })
    }

    fn list(&mut self, path: &Path) -> Result<Vec<Found>> {
        let entries = self.fs.list_directory(&path.to_text()?).map_err(|error| failed(&error))?;
        if entries.len() > MAX_ENTRIES {
            return Err(too_many(path));
        }
        Ok(entries
            .into_iter()
            .map(|entry| {
                let kind = kind_of(entry.kind);
                let metadata = Metadata {
                    modified: time(entry.modify_date),
                    created: time(entry.create_date),
                    id: Some(u64::from(entry.cnid)),
                    ..Metadata::new(kind, entry.size)
                };
                Found { name: entry.name.into_bytes(), kind: Some(kind), handle: Handle::Known(metadata) }
            })
            .collect())
    }

    fn read(&mut self, path: &Path, offset: u64, into: &mut [u8]) -> Result<usize> {
        let text = path.to_text()?;
        let stat = self.fs.stat(&text).map_err(|error| failed(&error))?;
        check_file(path, kind_of(stat.kind))?;
        if stat.compression.is_some() {
            let fs = &mut self.fs;
            return read_whole(&mut self.whole, path, stat.size, offset, into, || {
                fs.read_file(&text).map_err(|error| failed(&error))
            });
        }
        // A file with more extents than the crate's reader supports is read from its start.
        if stat.data_fork_extents < KNOWN_EXTENTS {
            let mut file = self.fs.open_file(&text).map_err(|error| failed(&error))?;
            return read_at(&mut file, offset, into).map_err(|error| damaged(&error));
        }
        let wanted = into.len().min(usize::try_from(stat.size.saturating_sub(offset)).unwrap_or(usize::MAX));
        let mut window = Window { skip: offset, into: &mut into[..wanted], done: 0 };
        let result = self.fs.read_file_to(&text, &mut window);
        match result {
            _ if window.done == wanted => Ok(wanted),
            Ok(_) => Err(Code::Damaged.error(format!("{} ends before its size", path.shown()))),
            Err(error) => Err(failed(&error)),
        }
    }

    fn read_link(&mut self, path: &Path) -> Result<Vec<u8>> {
        self.fs.read_file(&path.to_text()?).map_err(|error| failed(&error))
    }

    fn label(&mut self) -> Result<Option<String>> {
        // The label is the name of the root directory. The crate does not expose the catalog header that it read.
        let mut reader = self.device.clone();
        let header = self.fs.volume_header().clone();
        let catalog = btree::read_btree_header(&mut reader, &header.catalog_file, header.block_size);
        let catalog = catalog.map_err(|error| failed(&error))?;
        let roots = catalog::list_directory(&mut reader, &header, &catalog, catalog::CNID_ROOT_PARENT);
        Ok(roots.map_err(|error| failed(&error))?.into_iter().next().map(|root| root.name))
    }
}

fn check_file(path: &Path, kind: Kind) -> Result<()> {
    match kind {
        Kind::File => Ok(()),
        Kind::Directory => Err(Code::IsADirectory.error(format!("{} is a directory", path.shown()))),
        _ => Err(Code::NotAFile.error(format!("{} is not a file", path.shown()))),
    }
}

fn read_at(file: &mut (impl Read + Seek), offset: u64, into: &mut [u8]) -> io::Result<usize> {
    file.seek(SeekFrom::Start(offset))?;
    let mut done = 0;
    while done < into.len() {
        match file.read(&mut into[done..])? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

/// Reads from a file that can only be read as a whole, and keeps it in memory for the next read.
fn read_whole(
    whole: &mut Whole,
    path: &Path,
    size: u64,
    offset: u64,
    into: &mut [u8],
    read: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<usize> {
    if size > LARGEST_COMPRESSED {
        return Err(Code::Limit.error(format!("{} is compressed and too large to decompress", path.shown())));
    }
    if whole.as_ref().is_none_or(|(held, _)| held != path) {
        *whole = Some((path.clone(), read()?));
    }
    let bytes = whole.as_ref().map_or(&[][..], |(_, bytes)| bytes);
    let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[]);
    let count = rest.len().min(into.len());
    into[..count].copy_from_slice(&rest[..count]);
    Ok(count)
}

/// Keeps a range of the written bytes, and stops the writer after it.
struct Window<'a> {
    skip: u64,
    into: &'a mut [u8],
    done: usize,
}

impl Write for Window<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.done == self.into.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let skipped = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        self.skip -= skipped as u64;
        let taken = &bytes[skipped..];
        let count = taken.len().min(self.into.len() - self.done);
        self.into[self.done..self.done + count].copy_from_slice(&taken[..count]);
        self.done += count;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn kind_of(of: hfsplus::EntryKind) -> Kind {
    match of {
        hfsplus::EntryKind::File => Kind::File,
        hfsplus::EntryKind::Directory => Kind::Directory,
        hfsplus::EntryKind::Symlink => Kind::Link,
    }
}

/// HFS+ counts seconds since 1904. 0 stands for no time.
fn time(seconds: u32) -> Option<Time> {
    const FROM_1904_TO_1970: i64 = 2_082_844_800;
    (seconds != 0).then(|| Time { seconds: i64::from(seconds) - FROM_1904_TO_1970, nanoseconds: 0 })
}

fn failed(error: &HfsPlusError) -> Error {
    let code = match error {
        HfsPlusError::FileNotFound(_) => Code::NotFound,
        HfsPlusError::NotADirectory(_) => Code::NotADirectory,
        HfsPlusError::UnsupportedVersion(_) => Code::Unsupported,
        _ => Code::Damaged,
    };
    code.error(error.to_string())
}

fn damaged(error: &io::Error) -> Error {
    Code::Damaged.error(error.to_string())
}
