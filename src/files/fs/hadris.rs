//! FAT, exFAT, NTFS, ISO 9660 and UDF, read by the hadris crates: they share one interface.

use std::collections::HashMap;
use std::rc::Rc;

use hadris_fat::exfat::sync::ExFatFs;
use hadris_fat::sync::FatFs;
use hadris_fs::sync::FileSystem as Hadris;
use hadris_fs::{DateTime, DirCursor, ErrorKind, FileType, MountOptions, Name, NodeId};
use hadris_iso::sync::IsoFs;
use hadris_ntfs::sync::NtfsFs;
use hadris_udf::sync::UdfFs;

use super::reader::Reader;
use super::{FileSystem, Found, Handle, Kind, MAX_ENTRIES, Metadata, Path, Time, Usage};
use crate::error::{Code, Error, Result};
use crate::source::{Device, ReadFailed};

/// The most nodes that are cached by path.
const NODES: usize = 1024;

pub(super) fn fat(device: Rc<dyn Device>) -> Result<Box<dyn FileSystem>> {
    Ok(Adapter::boxed(FatFs::mount(Reader::new(device), options()).map_err(|error| failed(error.error()))?))
}

pub(super) fn exfat(device: Rc<dyn Device>) -> Result<Box<dyn FileSystem>> {
    Ok(Adapter::boxed(ExFatFs::mount(Reader::new(device), options()).map_err(|error| failed(error.error()))?))
}

pub(super) fn ntfs(device: Rc<dyn Device>) -> Result<Box<dyn FileSystem>> {
    Ok(Adapter::boxed(NtfsFs::mount(Reader::new(device), options()).map_err(|error| failed(error.error()))?))
}

pub(super) fn iso(device: Rc<dyn Device>) -> Result<Box<dyn FileSystem>> {
    Ok(Adapter::boxed(IsoFs::mount(Reader::new(device), options()).map_err(|error| failed(error.error()))?))
}

pub(super) fn udf(device: Rc<dyn Device>) -> Result<Box<dyn FileSystem>> {
    Ok(Adapter::boxed(UdfFs::mount(Reader::new(device), options()).map_err(|error| failed(error.error()))?))
}

fn options() -> MountOptions {
    MountOptions::new().read_only()
}

/// The read-only part of the crates' interface, so that one adapter serves them all and no code that writes is built
/// in.
trait Nodes {
    fn root(&self) -> NodeId;
    fn has_links(&self) -> bool;
    fn lookup(&mut self, directory: NodeId, name: &[u8]) -> Done<NodeId>;
    fn forget(&mut self, node: NodeId);
    fn stat(&mut self, node: NodeId) -> Done<hadris_fs::Metadata>;
    fn readdir(&mut self, directory: NodeId, from: DirCursor) -> Done<Option<hadris_fs::DirEntry>>;
    fn read(&mut self, node: NodeId, offset: u64, into: &mut [u8]) -> Done<usize>;
    fn readlink(&mut self, node: NodeId) -> Done<Vec<u8>>;
    fn label(&mut self) -> Done<Option<String>>;
    fn statfs(&mut self) -> Done<hadris_fs::FsStats>;
}

type Done<T> = std::result::Result<T, hadris_fs::Error<ReadFailed>>;

impl<F: Hadris<DeviceError = ReadFailed>> Nodes for F {
    fn root(&self) -> NodeId {
        Hadris::root(self)
    }

    fn has_links(&self) -> bool {
        self.capabilities().symlinks()
    }

    fn lookup(&mut self, directory: NodeId, name: &[u8]) -> Done<NodeId> {
        Hadris::lookup(self, directory, Name::new(name))
    }

    fn forget(&mut self, node: NodeId) {
        Hadris::forget(self, node, 1);
    }

    fn stat(&mut self, node: NodeId) -> Done<hadris_fs::Metadata> {
        Hadris::stat(self, node)
    }

    fn readdir(&mut self, directory: NodeId, from: DirCursor) -> Done<Option<hadris_fs::DirEntry>> {
        Hadris::readdir(self, directory, from)
    }

    fn read(&mut self, node: NodeId, offset: u64, into: &mut [u8]) -> Done<usize> {
        Hadris::read(self, node, offset, into)
    }

    fn readlink(&mut self, node: NodeId) -> Done<Vec<u8>> {
        let mut target = [0; 4096];
        Hadris::readlink(self, node, &mut target).map(<[u8]>::to_vec)
    }

    fn label(&mut self) -> Done<Option<String>> {
        let mut label = [0; 1024];
        Hadris::label(self, &mut label).map(|label| label.map(|label| label.trim().to_owned()))
    }

    fn statfs(&mut self) -> Done<hadris_fs::FsStats> {
        Hadris::statfs(self)
    }
}

struct Adapter {
    fs: Box<dyn Nodes>,
    /// The cached nodes by path. Each is pinned in `fs` once.
    nodes: HashMap<Path, NodeId>,
}

impl Adapter {
    fn boxed(fs: impl Hadris<DeviceError = ReadFailed> + 'static) -> Box<dyn FileSystem> {
        Box::new(Self { fs: Box::new(fs), nodes: HashMap::new() })
    }

    fn node(&mut self, path: &Path) -> Result<NodeId> {
        let Some((parent, name)) = path.split() else { return Ok(self.fs.root()) };
        if let Some(node) = self.nodes.get(path) {
            return Ok(*node);
        }
        let parent = self.node(&parent)?;
        let node = self.fs.lookup(parent, name).map_err(|error| failed(&error))?;
        if self.nodes.len() >= NODES {
            for (_, old) in self.nodes.drain() {
                self.fs.forget(old);
            }
        }
        self.nodes.insert(path.clone(), node);
        Ok(node)
    }
}

impl FileSystem for Adapter {
    fn stat(&mut self, path: &Path) -> Result<Metadata> {
        let node = self.node(path)?;
        Ok(metadata(&self.fs.stat(node).map_err(|error| failed(&error))?, node))
    }

    fn list(&mut self, path: &Path) -> Result<Vec<Found>> {
        let directory = self.node(path)?;
        let mut found = Vec::new();
        let mut cursor = DirCursor::START;
        while let Some(entry) = self.fs.readdir(directory, cursor).map_err(|error| failed(&error))? {
            if found.len() == MAX_ENTRIES {
                return Err(super::too_many(path));
            }
            cursor = entry.next_cursor();
            let metadata = metadata(entry.metadata(), entry.node());
            let name = entry.name().as_bytes().to_vec();
            found.push(Found { name, kind: Some(metadata.kind), handle: Handle::Known(metadata) });
        }
        Ok(found)
    }

    fn read(&mut self, path: &Path, offset: u64, into: &mut [u8]) -> Result<usize> {
        let node = self.node(path)?;
        let mut done = 0;
        while done < into.len() {
            let count = self.fs.read(node, offset + done as u64, &mut into[done..]).map_err(|error| failed(&error))?;
            if count == 0 {
                break;
            }
            done += count;
        }
        Ok(done)
    }

    fn read_link(&mut self, path: &Path) -> Result<Vec<u8>> {
        let node = self.node(path)?;
        self.fs.readlink(node).map_err(|error| failed(&error))
    }

    fn has_links(&self) -> bool {
        self.fs.has_links()
    }

    fn label(&mut self) -> Result<Option<String>> {
        self.fs.label().map_err(|error| failed(&error))
    }

    fn usage(&mut self) -> Result<Option<Usage>> {
        let space = self.fs.statfs().map_err(|error| failed(&error))?;
        let block = u64::from(space.block_size());
        let free = space.free_blocks().saturating_mul(block);
        let total = space.total_blocks().saturating_mul(block);
        Ok(Some(Usage { used: total.saturating_sub(free), free }))
    }
}

fn metadata(from: &hadris_fs::Metadata, node: NodeId) -> Metadata {
    let kind = match from.file_type() {
        FileType::File => Kind::File,
        FileType::Dir => Kind::Directory,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    };
    let owner = from.owner();
    Metadata {
        modified: from.modified().map(time),
        accessed: from.accessed().map(time),
        changed: from.changed().map(time),
        created: from.created().map(time),
        // Formats without owners have no permissions of their own either.
        mode: owner.map(|_| from.permissions().bits()),
        uid: owner.map(hadris_fs::Owner::uid),
        gid: owner.map(hadris_fs::Owner::gid),
        links: Some(from.nlink()),
        id: Some(node.get()),
        attributes: owner.is_none().then(|| from.attributes().bits()),
        ..Metadata::new(kind, from.len())
    }
}

/// A time without an offset is taken as UTC.
fn time(at: DateTime) -> Time {
    Time { seconds: at.unix_seconds(), nanoseconds: at.nanoseconds() }
}

pub(crate) fn failed<E>(error: &hadris_fs::Error<E>) -> Error {
    let code = match error.kind() {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::NotADirectory => Code::NotADirectory,
        ErrorKind::IsADirectory => Code::IsADirectory,
        ErrorKind::AlreadyExists => Code::Exists,
        ErrorKind::DirectoryNotEmpty => Code::NotEmpty,
        ErrorKind::NoSpace => Code::NoSpace,
        ErrorKind::ReadOnly => Code::ReadOnly,
        ErrorKind::Unsupported => Code::Unsupported,
        ErrorKind::LimitExceeded => Code::Limit,
        ErrorKind::InvalidInput | ErrorKind::NameTooLong | ErrorKind::FileTooLarge => Code::Invalid,
        _ => Code::Damaged,
    };
    code.error(error.to_string())
}
