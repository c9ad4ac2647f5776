//! A volume whose files can be read by path.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use crate::error::{Code, Result};
use crate::fs::{FileSystem, Found, Kind, Metadata, Path, Usage, mount};
use crate::probe::Type;
use crate::source::{Cache, Content, Device, Extent, add_extent};

/// Limits that only a damaged file system reaches.
mod limits {
    /// The number of names in a path.
    pub(super) const DEPTH: usize = 256;
    /// The length of a name in bytes. HFS+ allows 765.
    pub(super) const NAME: usize = 1024;
    /// The length of a path, or of a symbolic link's target, in bytes.
    pub(super) const PATH: usize = 64 << 10;
    /// The number of symbolic links on one path, as in Linux.
    pub(super) const LINKS: usize = 40;
    /// The length of one read in bytes.
    pub(super) const READ: usize = 16 << 20;
    /// The length of the buffer that is traced in bytes.
    pub(super) const TRACED: usize = 4 << 20;
    /// The most cached paths, with whether they are links.
    pub(super) const REMEMBERED: usize = 4096;
}

/// A volume, which the first call mounts.
///
/// Every method may fail with [`Error::Need`](crate::Error::Need): provide those bytes to the cache, then call it again.
pub struct Volume {
    cache: Rc<Cache>,
    device: Rc<dyn Device>,
    kind: Type,
    fs: Option<Box<dyn FileSystem>>,
    /// The targets of symbolic links by path; `None` for other files.
    links: HashMap<Path, Option<Vec<u8>>>,
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name's bytes.
    pub name: Vec<u8>,
    /// The kind, even if nothing else is known.
    pub kind: Kind,
    /// The metadata, or the reason why it cannot be read.
    pub metadata: std::result::Result<Metadata, String>,
}

/// A directory that is being listed.
pub struct Listing {
    path: Path,
    found: Vec<Found>,
    next: usize,
    ready: Vec<Entry>,
}

impl Volume {
    /// Creates a volume of type `kind` on `device`, which reads through `cache`.
    pub fn new(cache: Rc<Cache>, device: Rc<dyn Device>, kind: Type) -> Self {
        Self { cache, device, kind, fs: None, links: HashMap::new() }
    }

    /// Returns the metadata of the file at `path`. A symbolic link at its end is followed if `follow` is true; those
    /// before it always are.
    pub fn stat(&mut self, path: &[u8], follow: bool) -> Result<Metadata> {
        self.run(|volume| {
            let path = volume.resolve(path, follow)?;
            volume.fs()?.stat(&path)
        })
    }

    /// Starts to list the directory at `path`.
    pub fn list(&mut self, path: &[u8]) -> Result<Listing> {
        self.run(|volume| {
            let path = volume.resolve(path, true)?;
            let fs = volume.fs()?;
            if fs.stat(&path)?.kind != Kind::Directory {
                return Err(Code::NotADirectory.error(format!("{} is not a directory", path.shown())));
            }
            let found = fs.list(&path)?;
            Ok(Listing { path, found, next: 0, ready: Vec::new() })
        })
    }

    /// Returns the next entries of a listing, at most `count`. Empty at the end.
    pub fn next(&mut self, listing: &mut Listing, count: usize) -> Result<Vec<Entry>> {
        while listing.ready.len() < count
            && let Some(found) = listing.found.get(listing.next)
        {
            // The complete entries are kept if the next entry needs more bytes.
            let entry = self.run(|volume| volume.entry(&listing.path, found))?;
            listing.ready.push(entry);
            listing.next += 1;
        }
        Ok(std::mem::take(&mut listing.ready))
    }

    /// Reads up to `length` bytes at `offset` of the file at `path`. Returns fewer only at its end.
    pub fn read(&mut self, path: &[u8], offset: u64, length: usize) -> Result<Vec<u8>> {
        self.run(|volume| {
            let (path, length) = volume.part(path, offset, length)?;
            read(volume.fs()?, &path, offset, length)
        })
    }

    /// Returns where up to `length` bytes at `offset` of the file at `path` are. Returns fewer only at its end.
    ///
    /// Large files are read faster so: their bytes need not pass through the parser.
    pub fn extents(&mut self, path: &[u8], offset: u64, length: usize) -> Result<Vec<Extent>> {
        self.run(|volume| {
            let (path, length) = volume.part(path, offset, length)?;
            let cache = volume.cache.clone();
            let fs = volume.fs()?;
            let mut extents = Vec::new();
            let mut done = 0;
            // In steps, because a short buffer is filled and looked through faster than a long one.
            while done < length {
                let at = offset + done as u64;
                let step = (length - done).min(limits::TRACED);
                let before = done;
                let found = cache.trace(step, |bytes| fs.read(&path, at, bytes));
                let found = found.map_or_else(|| parsed(fs, &path, at, step), Ok)?;
                for extent in found {
                    done += extent.length;
                    add_extent(&mut extents, extent);
                }
                if done < before + step {
                    break;
                }
            }
            Ok(extents)
        })
    }

    /// Returns the target of the symbolic link at `path`, as stored.
    pub fn read_link(&mut self, path: &[u8]) -> Result<Vec<u8>> {
        self.run(|volume| {
            let path = volume.resolve(path, false)?;
            volume
                .target(&path)?
                .ok_or_else(|| Code::NotALink.error(format!("{} is not a symbolic link", path.shown())))
        })
    }

    /// Forgets what is known of the volume, because it was changed.
    pub fn changed(&mut self) {
        self.fs = None;
        self.links.clear();
    }

    /// Returns the label, if only a mount finds it.
    pub fn label(&mut self) -> Result<Option<String>> {
        self.run(|volume| volume.fs()?.label())
    }

    /// Returns the used and free bytes. Counts them if the file system stores no totals; `None` if it cannot.
    pub fn usage(&mut self) -> Result<Option<Usage>> {
        self.run(|volume| volume.fs()?.usage())
    }

    fn run<T>(&mut self, operation: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let cache = self.cache.clone();
        if self.fs.is_none() {
            self.fs = Some(cache.call(|| mount(self.kind, self.device.clone()))?);
        }
        let known = self.links.len();
        let result = cache.call(|| operation(self));
        // A call that missed bytes may have cached wrong information about links.
        if matches!(result, Err(crate::Error::Need(_))) && self.links.len() != known {
            self.links.clear();
        }
        result
    }

    fn fs(&mut self) -> Result<&mut Box<dyn FileSystem>> {
        self.fs.as_mut().ok_or_else(|| Code::Invalid.error("the volume is not mounted"))
    }

    /// Returns the path of the file at `path`, and how many of `length` bytes at `offset` one call reads.
    fn part(&mut self, path: &[u8], offset: u64, length: usize) -> Result<(Path, usize)> {
        let path = self.resolve(path, true)?;
        let metadata = self.fs()?.stat(&path)?;
        match metadata.kind {
            Kind::File => {}
            Kind::Directory => return Err(Code::IsADirectory.error(format!("{} is a directory", path.shown()))),
            _ => return Err(Code::NotAFile.error(format!("{} is a device, a pipe or a socket", path.shown()))),
        }
        let left = usize::try_from(metadata.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        Ok((path, length.min(left).min(limits::READ)))
    }

    fn entry(&mut self, directory: &Path, found: &Found) -> Result<Entry> {
        let kind = found.kind.unwrap_or(Kind::Other);
        if let Err(problem) = check_name(&found.name) {
            return Ok(Entry { name: found.name.clone(), kind, metadata: Err(problem) });
        }
        // One damaged entry does not hide its siblings.
        Ok(match self.fs()?.stat_found(directory, found) {
            Ok(metadata) => Entry { name: found.name.clone(), kind: metadata.kind, metadata: Ok(metadata) },
            Err(error) => Entry { name: found.name.clone(), kind, metadata: Err(error.to_string()) },
        })
    }

    /// Resolves symbolic links, `.` and `..` in a path. It never leaves the volume: the parent of the root is the root.
    fn resolve(&mut self, path: &[u8], follow: bool) -> Result<Path> {
        if path.len() > limits::PATH {
            return Err(Code::Limit.error("the path is too long"));
        }
        let mut names: VecDeque<Vec<u8>> = split(path).collect();
        let mut at = Path::root();
        let mut links = 0;
        let has_links = self.fs()?.has_links();
        while let Some(name) = names.pop_front() {
            if name == b".." {
                at = at.split().map_or_else(Path::root, |(parent, _)| parent);
                continue;
            }
            let next = at.join(&name);
            check_name(&name).map_err(|_| next.missing())?;
            if next.names().len() > limits::DEPTH {
                return Err(Code::Limit.error(format!("the path has more than {} names", limits::DEPTH)));
            }
            let is_last = names.is_empty();
            if !has_links || is_last && !follow {
                at = next;
                continue;
            }
            let Some(target) = self.target(&next)? else {
                at = next;
                continue;
            };
            links += 1;
            if links > limits::LINKS {
                return Err(Code::Limit.error(format!("{} leads through too many symbolic links", next.shown())));
            }
            if target.is_empty() || target.len() > limits::PATH {
                return Err(Code::Damaged.error(format!("the target of {} has no valid length", next.shown())));
            }
            if target.starts_with(b"/") {
                at = Path::root();
            }
            for name in split(&target).collect::<Vec<_>>().into_iter().rev() {
                names.push_front(name);
            }
        }
        Ok(at)
    }

    /// Returns the target of the symbolic link at `path`, or `None` for another file.
    fn target(&mut self, path: &Path) -> Result<Option<Vec<u8>>> {
        if let Some(target) = self.links.get(path) {
            return Ok(target.clone());
        }
        let fs = self.fs()?;
        let target = match fs.stat(path)?.kind {
            Kind::Link => Some(fs.read_link(path)?),
            _ => None,
        };
        if self.links.len() >= limits::REMEMBERED {
            self.links.clear();
        }
        self.links.insert(path.clone(), target.clone());
        Ok(target)
    }
}

fn read(fs: &mut Box<dyn FileSystem>, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    if length > 0 {
        let count = fs.read(path, offset, &mut bytes)?;
        bytes.truncate(count);
    }
    Ok(bytes)
}

/// The extent of bytes that the parser reads itself.
fn parsed(fs: &mut Box<dyn FileSystem>, path: &Path, offset: u64, length: usize) -> Result<Vec<Extent>> {
    let bytes = read(fs, path, offset, length)?;
    Ok(vec![Extent { length: bytes.len(), content: Content::Bytes(bytes) }])
}

fn split(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}

/// Checks a name: one that cannot be part of a path is damage.
fn check_name(name: &[u8]) -> std::result::Result<(), String> {
    if name.is_empty() || name == b"." || name == b".." {
        return Err("the name is empty, or stands for a directory".into());
    }
    if name.len() > limits::NAME {
        return Err("the name is too long".into());
    }
    if name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        return Err("the name contains a slash or a zero byte".into());
    }
    Ok(())
}
