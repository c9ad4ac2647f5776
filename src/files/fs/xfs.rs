//! XFS, read by the crate lamxfs.

use std::collections::HashMap;
use std::rc::Rc;

use lamxfs::{EntryKind, Inode, Xfs};

use super::reader::{Last, Reader};
use super::{FileSystem, Found, Handle, Kind, MAX_ENTRIES, Metadata, Path, Time, too_many};
use crate::error::{Code, Error, Result};
use crate::source::Device;

pub(super) fn mount(device: Rc<dyn Device>) -> Result<Box<dyn FileSystem>> {
    let size = device.size();
    let (reader, last) = Reader::recording(device);
    let fs = Xfs::open(reader, size).map_err(|error| failed(&error))?;
    Ok(Box::new(Adapter { fs, last, inodes: HashMap::new() }))
}

struct Adapter {
    fs: Xfs<Reader>,
    last: Last,
    /// The cached inodes by path. The crate lists every directory on a path to find its inode.
    inodes: HashMap<Path, u64>,
}

/// The most inodes that are cached by path.
const INODES: usize = 4096;

impl Adapter {
    fn inode(&mut self, path: &Path) -> Result<Inode> {
        if let Some(ino) = self.inodes.get(path) {
            return Ok(Inode { ino: *ino });
        }
        let bytes = path.to_bytes();
        let inode = self.fs.resolve(lamxfs::Path::new(&bytes)).map_err(|error| failed(&error))?;
        if self.inodes.len() >= INODES {
            self.inodes.clear();
        }
        self.inodes.insert(path.clone(), inode.ino);
        Ok(inode)
    }

    fn metadata(&mut self, ino: u64) -> Result<Metadata> {
        let from = self.fs.metadata(&Inode { ino }).map_err(|error| failed(&error))?;
        let kind = Kind::of_mode(from.mode());
        let size = if kind == Kind::Directory { 0 } else { from.size() };
        let mut metadata = Metadata { mode: Some(from.mode() & 0o7777), id: Some(ino), ..Metadata::new(kind, size) };
        // The inode is what was read last. Its other fields are not among the crate's metadata.
        let core = self.last.borrow();
        let number = |at: usize| Some(u32::from_be_bytes(core.get(at..at + 4)?.try_into().ok()?));
        if core.starts_with(b"IN") {
            metadata.uid = number(8);
            metadata.gid = number(12);
            metadata.links = number(16).map(u64::from);
            metadata.accessed = time(&core, 32);
            metadata.modified = time(&core, 40);
            metadata.changed = time(&core, 48);
            metadata.created = if is_v3(&core) { time(&core, 144) } else { None };
        }
        Ok(metadata)
    }
}

impl FileSystem for Adapter {
    fn stat(&mut self, path: &Path) -> Result<Metadata> {
        let inode = self.inode(path)?;
        self.metadata(inode.ino)
    }

    fn list(&mut self, path: &Path) -> Result<Vec<Found>> {
        let bytes = path.to_bytes();
        let entries = self.fs.read_dir(lamxfs::Path::new(&bytes)).map_err(|error| failed(&error))?;
        // The crate ends a listing there without an error.
        if entries.len() >= MAX_ENTRIES {
            return Err(too_many(path));
        }
        Ok(entries
            .into_iter()
            .map(|entry| Found { name: entry.name, kind: kind(entry.kind), handle: Handle::Inode(entry.inode_number) })
            .collect())
    }

    fn stat_found(&mut self, path: &Path, found: &Found) -> Result<Metadata> {
        match &found.handle {
            Handle::Inode(ino) => self.metadata(*ino),
            _ => self.stat(&path.join(&found.name)),
        }
    }

    fn read(&mut self, path: &Path, offset: u64, into: &mut [u8]) -> Result<usize> {
        let inode = self.inode(path)?;
        self.fs.read_file_at(&inode, offset, into).map_err(|error| failed(&error))
    }

    fn read_link(&mut self, path: &Path) -> Result<Vec<u8>> {
        let bytes = path.to_bytes();
        self.fs.read_link(lamxfs::Path::new(&bytes)).map_err(|error| failed(&error))
    }
}

fn kind(of: EntryKind) -> Option<Kind> {
    match of {
        EntryKind::Regular => Some(Kind::File),
        EntryKind::Directory => Some(Kind::Directory),
        EntryKind::Symlink => Some(Kind::Link),
        EntryKind::Other => None,
    }
}

fn is_v3(core: &[u8]) -> bool {
    core.get(4).is_some_and(|version| *version >= 3)
}

/// Decodes a time of an inode: seconds and nanoseconds, or nanoseconds since 1901 if the inode has large times.
fn time(core: &[u8], at: usize) -> Option<Time> {
    const LARGE_TIMES: u8 = 8;
    let bytes: [u8; 8] = core.get(at..at + 8)?.try_into().ok()?;
    if is_v3(core) && core.get(127)? & LARGE_TIMES != 0 {
        const SECOND: u64 = 1_000_000_000;
        let nanoseconds = u64::from_be_bytes(bytes);
        let seconds = i64::try_from(nanoseconds / SECOND).ok()? - (1 << 31);
        return Some(Time { seconds, nanoseconds: u32::try_from(nanoseconds % SECOND).ok()? });
    }
    let (seconds, nanoseconds) = bytes.split_at(4);
    let seconds = i64::from(i32::from_be_bytes(seconds.try_into().ok()?));
    Some(Time { seconds, nanoseconds: u32::from_be_bytes(nanoseconds.try_into().ok()?) })
}

fn failed(error: &lamxfs::Error) -> Error {
    use lamxfs::{Error as From, SuperblockReason as Reason};
    let code = match error {
        From::NotFound { component: "not_a_directory" } => Code::NotADirectory,
        From::NotFound { .. } => Code::NotFound,
        From::NotARegularFile => Code::NotAFile,
        From::NotASymlink => Code::NotALink,
        From::UnsupportedFeature(_)
        | From::BadSuperblock(
            Reason::UnsupportedVersion | Reason::ExternalLog | Reason::RealtimeDevice | Reason::DirtyLog,
        ) => Code::Unsupported,
        From::FileTooLarge { .. } | From::OutOfMemory { .. } => Code::Limit,
        _ => Code::Damaged,
    };
    code.error(format!("XFS: {}", error.token().replace('_', " ")))
}
