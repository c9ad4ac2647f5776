//! Changes of FAT volumes.
//!
//! Nothing here writes. A crate changes the volume in memory, over the volume's bytes; the result is a [`Plan`]: which
//! bytes to write, in an order in which a crash at any moment loses no file. So a change that fails, such as on a full
//! volume, changes nothing. The contents of a file never pass through: the plan says where they belong.
//!
//! The order is that of all careful writers:
//!
//! 1. contents, and new directories: into clusters that nothing refers to;
//! 2. the chains of these clusters, in all copies of the table;
//! 3. the directory entry, which makes the change visible;
//! 4. the clusters that are free now, and the count of free clusters.
//!
//! A crash between these leaves clusters that are in use by nothing, which `fsck.fat` frees, and at worst a part of a long
//! name without its file.

#[cfg(feature = "wasm-fat")]
mod bridge;
mod order;
mod overlay;

use std::cell::Cell;
use std::rc::Rc;

use hadris_fat::sync::FatFs;
use hadris_fs::{Clock, DateTime, ErrorKind, Extent, FileType, MountOptions, Name, NodeId, SetAttr};

use crate::error::{Code, Error, Result};
use crate::fs::{Path, hadris_failed as failed};
use crate::source::{Device, ReadFailed};
use overlay::{Overlay, Writable};

/// The size of the largest file.
const LARGEST: u64 = u32::MAX as u64;

/// A change of a volume.
#[derive(Clone, Debug)]
pub enum Change {
    /// Creates or replaces the file at a path, with room for a number of bytes.
    Write(Path, u64),
    /// Creates a directory.
    CreateDirectory(Path),
    /// Deletes a file, or an empty directory.
    Delete(Path),
}

/// What to write for a change. All offsets are those of the volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The ranges for the contents of the file, in their order: offset and length.
    pub content: Vec<(u64, u64)>,
    /// What to write, in steps. All of a step must be durable before the next one begins. The contents belong to the first.
    pub steps: Vec<Vec<(u64, Vec<u8>)>>,
}

/// Plans a change of the FAT volume on `device`. `seconds` is the time since 1970 for what is new.
pub fn plan(device: &Rc<dyn Device>, change: &Change, seconds: i64) -> Result<Plan> {
    NOW.set(seconds);
    let overlay = Overlay::new(device.clone());
    let mut content = Vec::new();
    match change {
        Change::Write(path, size) => content = write(&overlay, path, *size)?,
        Change::CreateDirectory(path) => {
            on(&overlay, |fs| {
                let (parent, name) = parent_of(fs, path)?;
                fs.mkdir(parent, name, &stamps()).map_err(|error| explained(&error, path))?;
                Ok(())
            })?;
        }
        Change::Delete(path) => {
            on(&overlay, |fs| {
                let (parent, name) = parent_of(fs, path)?;
                let node = fs.lookup(parent, name).map_err(|error| explained(&error, path))?;
                let is_directory = fs.stat(node).map_err(|error| failed(&error))?.file_type() == FileType::Dir;
                fs.forget(node, 1);
                let deleted = if is_directory { fs.rmdir(parent, name) } else { fs.unlink(parent, name) };
                deleted.map_err(|error| explained(&error, path))
            })?;
        }
    }
    let geometry = with(&overlay, |fs| Ok(*fs.info()))?;
    let steps = order::steps(&overlay, &geometry, matches!(change, Change::Delete(_)))?;
    Ok(Plan { content, steps })
}

/// Creates a file with room for `size` bytes, or gives one that exists new room. Returns the ranges for its contents.
fn write(overlay: &Overlay, path: &Path, size: u64) -> Result<Vec<(u64, u64)>> {
    if size > LARGEST {
        return Err(Code::Invalid.error(format!("a file on FAT has at most {LARGEST} bytes; this one has {size}")));
    }
    let existing = with(overlay, |fs| {
        let (parent, name) = parent_of(fs, path)?;
        match fs.lookup(parent, name) {
            Ok(node) => {
                if fs.stat(node).map_err(|error| failed(&error))?.file_type() == FileType::Dir {
                    return Err(Code::IsADirectory.error(format!("{} is a directory", path.shown())));
                }
                Ok(Some(entry_of(fs, node)?))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(explained(&error, path)),
        }
    })?;
    let Some(at) = existing else {
        on(overlay, |fs| {
            let (parent, name) = parent_of(fs, path)?;
            let node = fs.create(parent, name, &stamps()).map_err(|error| explained(&error, path))?;
            fs.forget(node, 1);
            Ok(())
        })?;
        return fill(overlay, path, size);
    };
    // The new contents get clusters while the old ones are still in use: as if the file were empty, but nothing freed.
    let old = overlay.entry(at)?;
    overlay.set_entry(at, &without_content(&old))?;
    let content = fill(overlay, path, size)?;
    let new = overlay.entry(at)?;
    overlay.set_entry(at, &old)?;
    on(overlay, |fs| {
        let node = node_of(fs, path)?;
        fs.truncate(node, 0).map_err(|error| explained(&error, path))
    })?;
    overlay.set_entry(at, &new)?;
    Ok(content)
}

/// Gives the empty file at `path` room for `size` bytes.
fn fill(overlay: &Overlay, path: &Path, size: u64) -> Result<Vec<(u64, u64)>> {
    on(overlay, |fs| {
        let node = node_of(fs, path)?;
        // The crate fills the room with zeros, which the contents replace.
        overlay.drop_zeros_from(Some(fs.info().data_start()));
        let grown = fs.truncate(node, size);
        overlay.drop_zeros_from(None);
        grown.map_err(|error| explained(&error, path))?;
        fs.setattr(node, &SetAttr::new().with_modified(now())).map_err(|error| failed(&error))?;
        let mut content = Vec::new();
        let mut covered = 0;
        while covered < size {
            let mut runs = [Extent::new(0, 0); 64];
            let count = fs.extents(node, covered, &mut runs).map_err(|error| failed(&error))?;
            for run in &runs[..count] {
                let length = run.len().min(size - covered);
                content.push((run.offset(), length));
                covered += length;
            }
            if count == 0 {
                return Err(Code::Damaged.error("the file system lost the clusters of the file"));
            }
        }
        Ok(content)
    })
}

type Fat = FatFs<Writable>;

/// Runs `body` on the volume, and completes what it has changed.
fn on<T>(overlay: &Overlay, body: impl FnOnce(&mut Fat) -> Result<T>) -> Result<T> {
    with(overlay, |fs| {
        let value = body(fs)?;
        fs.sync().map_err(|error| failed(&error))?;
        Ok(value)
    })
}

fn with<T>(overlay: &Overlay, body: impl FnOnce(&mut Fat) -> Result<T>) -> Result<T> {
    let options = MountOptions::new().with_clock(&Now);
    let mut fs = FatFs::mount(overlay.device(), options).map_err(|error| failed(error.error()))?;
    body(&mut fs)
}

/// The directory of a path, and the name in it.
fn parent_of<'a>(fs: &mut Fat, path: &'a Path) -> Result<(NodeId, &'a Name)> {
    let (name, parents) =
        path.names().split_last().ok_or_else(|| Code::Invalid.error("the root of a volume cannot be changed"))?;
    let mut at = fs.root();
    for parent in parents {
        at = fs.lookup(at, Name::new(parent)).map_err(|error| explained(&error, path))?;
    }
    Ok((at, Name::new(name)))
}

fn node_of(fs: &mut Fat, path: &Path) -> Result<NodeId> {
    let (parent, name) = parent_of(fs, path)?;
    fs.lookup(parent, name).map_err(|error| explained(&error, path))
}

/// The offset of a file's directory entry.
fn entry_of(fs: &mut Fat, node: NodeId) -> Result<u64> {
    let mut record = [Extent::new(0, 0)];
    match fs.records(node, &mut record) {
        Ok(1) => Ok(record[0].offset()),
        Ok(_) => Err(Code::Invalid.error("the root of a volume cannot be changed")),
        Err(error) => Err(failed(&error)),
    }
}

/// A directory entry of a file without clusters.
fn without_content(entry: &[u8; 32]) -> [u8; 32] {
    let mut empty = *entry;
    empty[20..22].fill(0);
    empty[26..32].fill(0);
    empty
}

fn stamps() -> SetAttr {
    SetAttr::new().with_created(now()).with_modified(now()).with_accessed(now())
}

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// The time that the caller gave.
struct Now;

impl Clock for Now {
    fn now(&self) -> DateTime {
        now()
    }
}

/// FAT begins in 1980 and has no time zone: as when reading, its times are in UTC.
fn now() -> DateTime {
    const FIRST: i64 = 315_532_800;
    const LAST: i64 = 4_354_819_198;
    DateTime::from_unix_seconds(NOW.get().clamp(FIRST, LAST)).unwrap_or(DateTime::UNIX_EPOCH)
}

/// The error with the path, where people need it.
fn explained(error: &hadris_fs::Error<ReadFailed>, path: &Path) -> Error {
    let shown = path.shown();
    match error.kind() {
        ErrorKind::NoSpace => Code::NoSpace.error(format!("there is not enough free space for {shown}")),
        ErrorKind::AlreadyExists => Code::Exists.error(format!("{shown} exists already")),
        ErrorKind::NotFound => path.missing(),
        ErrorKind::DirectoryNotEmpty => Code::NotEmpty.error(format!("{shown} is not empty")),
        ErrorKind::InvalidInput | ErrorKind::NameTooLong => Code::Invalid.error(format!(
            "{shown} cannot be created: a name on FAT has at most 255 characters, none of them \" * : < > ? \\ |, and \
             does not end with a dot or a space"
        )),
        _ => failed(error),
    }
}
