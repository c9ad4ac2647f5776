//! One trait for all file systems, and an adapter for each crate that reads one.

mod btrfs;
mod ext;
mod hadris;
mod hfsplus;
mod reader;
mod xfs;

use std::rc::Rc;

use crate::error::{Code, Error, Result};
use crate::probe::Type;
use crate::source::Device;

pub(crate) use hadris::failed as hadris_failed;
pub(crate) use reader::disk_reader;

/// A mounted file system that can be read.
///
/// A path is a list of names from the root. No name is `.` or `..`, and no directory on the path is a symbolic link:
/// [`Volume`](crate::Volume) resolves paths. A call that misses bytes fails with any error and is run again, so an
/// implementation keeps nothing from a failed call.
pub trait FileSystem {
    /// Returns the metadata of the file at `path`. A symbolic link is not followed.
    fn stat(&mut self, path: &Path) -> Result<Metadata>;

    /// Returns the entries of the directory at `path`, without `.` and `..`, at most [`MAX_ENTRIES`].
    fn list(&mut self, path: &Path) -> Result<Vec<Found>>;

    /// Returns the metadata of an entry of a listing.
    fn stat_found(&mut self, path: &Path, found: &Found) -> Result<Metadata> {
        match &found.handle {
            Handle::Known(metadata) => Ok(metadata.clone()),
            _ => self.stat(&path.join(&found.name)),
        }
    }

    /// Reads from the file at `path`. Returns fewer bytes than `into` holds only at the end of the file.
    fn read(&mut self, path: &Path, offset: u64, into: &mut [u8]) -> Result<usize>;

    /// Returns the target of the symbolic link at `path`, as stored.
    fn read_link(&mut self, path: &Path) -> Result<Vec<u8>>;

    /// Whether there are symbolic links. If not, a path need not be searched for them.
    fn has_links(&self) -> bool {
        true
    }

    /// Returns the label, if only the mounted file system knows it.
    fn label(&mut self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Returns the used and free bytes, counted if the file system stores no totals.
    fn usage(&mut self) -> Result<Option<Usage>> {
        Ok(None)
    }
}

/// A directory with more entries than this is not listed.
pub const MAX_ENTRIES: usize = 1 << 20;

/// Mounts the file system of type `kind` on `device`.
pub fn mount(kind: Type, device: Rc<dyn Device>) -> Result<Box<dyn FileSystem>> {
    match kind {
        Type::Ext2 | Type::Ext3 | Type::Ext4 => ext::mount(device),
        Type::Fat12 | Type::Fat16 | Type::Fat32 => hadris::fat(device),
        Type::ExFat => hadris::exfat(device),
        Type::Ntfs => hadris::ntfs(device),
        Type::Iso9660 => hadris::iso(device),
        Type::Udf => hadris::udf(device),
        Type::Btrfs => btrfs::mount(device),
        Type::Xfs => xfs::mount(device),
        Type::HfsPlus => hfsplus::mount(device),
        _ => Err(Code::Unsupported.error(format!("{}: not supported", kind.title()))),
    }
}

/// The error for a directory with more than [`MAX_ENTRIES`] entries.
fn too_many(path: &Path) -> Error {
    Code::Limit.error(format!("{} has more than {MAX_ENTRIES} entries", path.shown()))
}

/// The length of the longest path that is changed, in bytes.
const LONGEST_PATH: usize = 64 << 10;

/// A path: the names from the root of a volume to a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Vec<Vec<u8>>);

impl Path {
    /// The path of the root.
    pub fn root() -> Self {
        Self::default()
    }

    /// Splits a path with slashes. `.` and `..` are resolved, and the parent of the root is the root.
    pub fn parse(path: &[u8]) -> Result<Self> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
            if name == b".." {
                names.pop();
            } else {
                names.push(name.to_vec());
            }
        }
        if path.len() > LONGEST_PATH { Err(Code::Limit.error("the path is too long")) } else { Ok(Self(names)) }
    }

    /// The names, starting at the root.
    pub fn names(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Returns the path of `name` in this directory.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut names = self.0.clone();
        names.push(name.to_vec());
        Self(names)
    }

    /// Returns the path of the parent directory, and the name in it. `None` for the root.
    pub fn split(&self) -> Option<(Self, &[u8])> {
        let (name, parent) = self.0.split_last()?;
        Some((Self(parent.to_vec()), name))
    }

    /// Returns the path with slashes.
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.0.is_empty() {
            return b"/".to_vec();
        }
        self.0.iter().fold(Vec::new(), |mut path, name| {
            path.push(b'/');
            path.extend_from_slice(name);
            path
        })
    }

    /// Returns the path with slashes as text. Fails if a name is not UTF-8.
    fn to_text(&self) -> Result<String> {
        String::from_utf8(self.to_bytes()).map_err(|_| self.missing())
    }

    /// The error for a path that does not exist.
    pub(crate) fn missing(&self) -> Error {
        Code::NotFound.error(format!("{} does not exist", self.shown()))
    }

    /// The path for a message.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.to_bytes()).into_owned()
    }
}

impl FromIterator<Vec<u8>> for Path {
    fn from_iter<I: IntoIterator<Item = Vec<u8>>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name as it is on the disk, or in UTF-8 if the file system stores it in Unicode.
    pub name: Vec<u8>,
    /// The kind, if the directory says it.
    pub kind: Option<Kind>,
    /// The adapter's reference to the entry.
    pub handle: Handle,
}

/// An adapter's reference to an entry, which avoids a lookup by name.
#[derive(Clone, Debug)]
pub enum Handle {
    /// All metadata.
    Known(Metadata),
    /// The number of the inode.
    Inode(u64),
    /// An entry of ext2, ext3 or ext4.
    Ext(ext4_view::DirEntry),
    /// An inode of btrfs.
    Btrfs(lambutter::Inode),
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket.
    Other,
}

impl Kind {
    /// The kind that the type bits of a Unix mode stand for.
    pub const fn of_mode(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Link,
            _ => Self::Other,
        }
    }
}

/// The metadata of a file. A field that the file system does not store is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// The kind.
    pub kind: Kind,
    /// The length in bytes; 0 for a directory.
    pub size: u64,
    /// The time of the last change of the contents.
    pub modified: Option<Time>,
    /// The time of the last read.
    pub accessed: Option<Time>,
    /// The time of the last change of the metadata.
    pub changed: Option<Time>,
    /// The time of the creation.
    pub created: Option<Time>,
    /// The permission bits, with set-user-ID, set-group-ID and sticky.
    pub mode: Option<u32>,
    /// The user that owns the file.
    pub uid: Option<u32>,
    /// The group that owns the file.
    pub gid: Option<u32>,
    /// The number of hard links.
    pub links: Option<u64>,
    /// A number that all hard links of one file share.
    pub id: Option<u64>,
    /// The DOS attributes: 1 read-only, 2 hidden, 4 system, 32 archive.
    pub attributes: Option<u32>,
}

impl Metadata {
    /// Metadata with only the kind and the size.
    pub const fn new(kind: Kind, size: u64) -> Self {
        Self {
            kind,
            size,
            modified: None,
            accessed: None,
            changed: None,
            created: None,
            mode: None,
            uid: None,
            gid: None,
            links: None,
            id: None,
            attributes: None,
        }
    }
}

/// Seconds and nanoseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// The nanoseconds within the second.
    pub nanoseconds: u32,
}

/// The usage of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The bytes in use.
    pub used: u64,
    /// The bytes that are free.
    pub free: u64,
}
