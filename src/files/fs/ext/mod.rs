//! ext2, ext3 and ext4, read by the crate ext4-view, except for the contents of files.

mod blocks;

use std::rc::Rc;

use ext4_view::{Ext4, Ext4Error, FileType};

use blocks::Blocks;

use super::reader::Reader;
use super::{FileSystem, Found, Handle, Kind, MAX_ENTRIES, Metadata, Path, Time, too_many};
use crate::error::{Code, Error, Result};
use crate::source::Device;

pub(super) fn mount(device: Rc<dyn Device>) -> Result<Box<dyn FileSystem>> {
    let fs = Ext4::load(Box::new(Reader::new(device.clone()))).map_err(failed)?;
    Ok(Box::new(Adapter { fs, blocks: Blocks::open(device), open: None }))
}

struct Adapter {
    fs: Ext4,
    blocks: Option<Blocks>,
    /// The file that the crate read last. It has found its blocks, which a newly opened file looks up from its start.
    open: Option<(Path, ext4_view::File)>,
}

impl Adapter {
    fn file(&mut self, path: &Path) -> Result<ext4_view::File> {
        if let Some((open, file)) = self.open.take()
            && open == *path
        {
            return Ok(file);
        }
        self.fs.open(&path.to_bytes()[..]).map_err(failed)
    }
}

impl FileSystem for Adapter {
    fn stat(&mut self, path: &Path) -> Result<Metadata> {
        Ok(metadata(&self.fs.symlink_metadata(&path.to_bytes()[..]).map_err(failed)?))
    }

    fn list(&mut self, path: &Path) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in self.fs.read_dir(&path.to_bytes()[..]).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().as_ref().to_vec();
            if name == b"." || name == b".." {
                continue;
            }
            if found.len() == MAX_ENTRIES {
                return Err(too_many(path));
            }
            let kind = entry.file_type().ok().map(kind);
            found.push(Found { name, kind, handle: Handle::Ext(entry) });
        }
        Ok(found)
    }

    fn stat_found(&mut self, path: &Path, found: &Found) -> Result<Metadata> {
        match &found.handle {
            Handle::Ext(entry) => Ok(metadata(&entry.metadata().map_err(failed)?)),
            _ => self.stat(&path.join(&found.name)),
        }
    }

    fn read(&mut self, path: &Path, offset: u64, into: &mut [u8]) -> Result<usize> {
        if let Some(read) = self.blocks.as_mut().and_then(|blocks| blocks.read(path, offset, into)) {
            return read;
        }
        let mut file = self.file(path)?;
        if file.position() != offset {
            file.seek_to(offset).map_err(failed)?;
        }
        let mut done = 0;
        while done < into.len() {
            let count = file.read_bytes(&mut into[done..]).map_err(failed)?;
            if count == 0 {
                break;
            }
            done += count;
        }
        self.open = Some((path.clone(), file));
        Ok(done)
    }

    fn read_link(&mut self, path: &Path) -> Result<Vec<u8>> {
        Ok(self.fs.read_link(&path.to_bytes()[..]).map_err(failed)?.as_ref().to_vec())
    }
}

fn metadata(from: &ext4_view::Metadata) -> Metadata {
    let kind = kind(from.file_type());
    let time = |at: ext4_view::Timestamp| Time { seconds: at.seconds(), nanoseconds: at.nanoseconds() };
    Metadata {
        modified: Some(time(from.modified())),
        accessed: Some(time(from.accessed())),
        created: from.created().map(time),
        mode: Some(u32::from(from.mode())),
        uid: Some(from.uid()),
        gid: Some(from.gid()),
        ..Metadata::new(kind, if kind == Kind::Directory { 0 } else { from.len() })
    }
}

fn kind(of: FileType) -> Kind {
    match of {
        FileType::Regular => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: Ext4Error) -> Error {
    let message = error.to_string();
    // The crate's error for a hole for which a whole block of block numbers is missing. Files with extents have none.
    if message.contains("from block 0 (originally 0)") {
        return Code::Unsupported.error("a file with large holes cannot be read where the file system has no extents");
    }
    let code = match &error {
        Ext4Error::NotFound | Ext4Error::MalformedPath | Ext4Error::PathTooLong => Code::NotFound,
        Ext4Error::NotADirectory => Code::NotADirectory,
        Ext4Error::IsADirectory => Code::IsADirectory,
        Ext4Error::IsASpecialFile => Code::NotAFile,
        Ext4Error::NotASymlink => Code::NotALink,
        Ext4Error::TooManySymlinks | Ext4Error::FileTooLarge => Code::Limit,
        Ext4Error::Encrypted => Code::Encrypted,
        Ext4Error::Incompatible(_) => Code::Unsupported,
        _ => Code::Damaged,
    };
    code.error(message)
}
