//! btrfs, read by the crate lambutter.

use std::rc::Rc;

use lambutter::{Btrfs, Inode};

use super::reader::{Last, Reader};
use super::{FileSystem, Found, Handle, Kind, MAX_ENTRIES, Metadata, Path, Time, too_many};
use crate::error::{Code, Error, Result};
use crate::source::Device;

/// The object that holds the tree of subvolumes, as mounted by default.
pub(super) fn mount(device: Rc<dyn Device>) -> Result<Box<dyn FileSystem>> {
    let size = device.size();
    let (reader, last) = Reader::recording(device);
    // The top level rather than the default subvolume: all others can be reached from there.
    let fs = Btrfs::open_subvol_id(reader, size, TOP_LEVEL).map_err(|error| failed(&error))?;
    Ok(Box::new(Adapter { fs, last }))
}

const TOP_LEVEL: u64 = 5;

struct Adapter {
    fs: Btrfs<Reader>,
    last: Last,
}

impl Adapter {
    fn inode(&mut self, path: &Path) -> Result<Inode> {
        let bytes = path.to_bytes();
        let path = lambutter::Path::new(&bytes).ok_or_else(|| path.missing())?;
        self.fs.resolve(path).map_err(|error| failed(&error))
    }

    fn metadata(&mut self, inode: &Inode) -> Result<Metadata> {
        let from = self.fs.metadata(inode).map_err(|error| failed(&error))?;
        let kind = Kind::of_mode(from.mode);
        let item = self.item(inode).unwrap_or_default();
        Ok(Metadata {
            accessed: time(&item, 112),
            changed: time(&item, 124),
            modified: time(&item, 136),
            created: time(&item, 148),
            mode: Some(from.mode & 0o7777),
            uid: Some(from.uid),
            gid: Some(from.gid),
            links: Some(u64::from(from.nlink)),
            // Numbers repeat across subvolumes, but there are few subvolumes.
            id: Some(inode.objectid() ^ inode.subvolume().rotate_left(40)),
            ..Metadata::new(kind, if kind == Kind::Directory { 0 } else { from.size })
        })
    }

    /// The inode item, from the leaf that was read last. Its times are not among the crate's metadata.
    fn item(&self, inode: &Inode) -> Option<Vec<u8>> {
        const HEADER: usize = 101;
        const ITEM: usize = 25;
        const INODE_ITEM: u8 = 1;
        let leaf = self.last.borrow();
        let number = |at: usize| Some(u32::from_le_bytes(leaf.get(at..at + 4)?.try_into().ok()?) as usize);
        (0..number(96)?).find_map(|index| {
            let item = leaf.get(HEADER + index * ITEM..)?.get(..ITEM)?;
            let found = item[..8] == inode.objectid().to_le_bytes() && item[8] == INODE_ITEM;
            let (at, size) = (number(HEADER + index * ITEM + 17)?, number(HEADER + index * ITEM + 21)?);
            found.then(|| leaf.get(HEADER.checked_add(at)?..)?.get(..size).map(<[u8]>::to_vec))?
        })
    }
}

impl FileSystem for Adapter {
    fn stat(&mut self, path: &Path) -> Result<Metadata> {
        let inode = self.inode(path)?;
        self.metadata(&inode)
    }

    fn list(&mut self, path: &Path) -> Result<Vec<Found>> {
        let bytes = path.to_bytes();
        let directory = lambutter::Path::new(&bytes).ok_or_else(|| path.missing())?;
        let entries = self.fs.read_dir(directory).map_err(|error| failed(&error))?;
        if entries.len() > MAX_ENTRIES {
            return Err(too_many(path));
        }
        Ok(entries
            .into_iter()
            .map(|entry| Found { name: entry.name, kind: kind(entry.kind_byte), handle: Handle::Btrfs(entry.inode) })
            .collect())
    }

    fn stat_found(&mut self, path: &Path, found: &Found) -> Result<Metadata> {
        match &found.handle {
            Handle::Btrfs(inode) => self.metadata(inode),
            _ => self.stat(&path.join(&found.name)),
        }
    }

    fn read(&mut self, path: &Path, offset: u64, into: &mut [u8]) -> Result<usize> {
        let inode = self.inode(path)?;
        let mut done = 0;
        while done < into.len() {
            let count = self
                .fs
                .read_file_at(&inode, offset + done as u64, &mut into[done..])
                .map_err(|error| failed(&error))?;
            if count == 0 {
                break;
            }
            done += count;
        }
        Ok(done)
    }

    fn read_link(&mut self, path: &Path) -> Result<Vec<u8>> {
        let bytes = path.to_bytes();
        let link = lambutter::Path::new(&bytes).ok_or_else(|| path.missing())?;
        self.fs.read_link(link).map_err(|error| failed(&error))
    }
}

fn kind(byte: u8) -> Option<Kind> {
    Some(match byte & 0x7F {
        1 => Kind::File,
        2 => Kind::Directory,
        7 => Kind::Link,
        3..=6 => Kind::Other,
        _ => return None,
    })
}

fn time(item: &[u8], at: usize) -> Option<Time> {
    let seconds = i64::from_le_bytes(item.get(at..at + 8)?.try_into().ok()?);
    let nanoseconds = u32::from_le_bytes(item.get(at + 8..at + 12)?.try_into().ok()?);
    Some(Time { seconds, nanoseconds })
}

fn failed(error: &lambutter::Error) -> Error {
    use lambutter::{Error as From, SuperblockReason as Reason};
    let code = match error {
        From::NotFound => Code::NotFound,
        From::NotARegularFile => Code::NotAFile,
        From::NotASymlink => Code::NotALink,
        From::UnsupportedFeature("feat_encryption") => Code::Encrypted,
        From::UnsupportedFeature(_)
        | From::UnsupportedProfile(_)
        | From::UnsupportedChecksum(_)
        | From::BadSuperblock(Reason::UnsupportedCsumType | Reason::UnsupportedIncompat) => Code::Unsupported,
        From::OutOfMemory { .. } => Code::Limit,
        _ => Code::Damaged,
    };
    code.error(error.to_string())
}
