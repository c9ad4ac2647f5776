//! The contents of files in ext2, ext3 and ext4.
//!
//! The crate ext4-view reads contents in single blocks through a cache of its own, fails on large holes of files without
//! extents, and panics if a file is longer than its extents. So this module finds the blocks itself: from the path to the
//! inode, and from there through the extent tree or the block map. What needs more is left to the crate: file systems with
//! a journal to replay, encrypted files, and contents within inodes.

use std::rc::Rc;

use crate::error::{Code, Result};
use crate::fs::Path;
use crate::source::{Device, ReadFailed};

const ROOT_INODE: u32 = 2;
/// The length of the part of an inode that tells where its contents are.
const MAP: usize = 60;
/// No extent tree is deeper.
const DEEPEST: u16 = 5;
/// The block numbers in an inode that lead to contents directly.
const DIRECT: u64 = 12;
/// A larger directory has more entries than are listed.
const LARGEST_DIRECTORY: u64 = 512 << 20;

/// The blocks of a file system.
pub(super) struct Blocks {
    device: Rc<dyn Device>,
    block_size: u64,
    inode_size: u64,
    inodes_per_group: u32,
    /// The offset of the group descriptors, and the size of each.
    descriptors: (u64, u64),
    /// The file that was read last.
    last: Option<(Path, Inode)>,
}

#[derive(Clone)]
struct Inode {
    size: u64,
    has_extents: bool,
    map: [u8; MAP],
}

/// Blocks of a file that follow each other on the disk, or in a hole.
struct Run {
    /// The first block on the disk; `None` for a hole.
    start: Option<u64>,
    count: u64,
}

impl Blocks {
    /// Reads the superblock. `None` if the crate has to read contents.
    pub(super) fn open(device: Rc<dyn Device>) -> Option<Self> {
        const RECOVER: u32 = 0x4;
        const META_BLOCK_GROUPS: u32 = 0x10;
        const LARGE: u32 = 0x80;
        let mut superblock = [0; 1024];
        device.read_at(1024, &mut superblock).ok()?;
        let features = number(&superblock, 96)?;
        if features & (RECOVER | META_BLOCK_GROUPS) != 0 {
            return None;
        }
        let block_size = 1024_u64.checked_shl(number(&superblock, 24)?.min(6))?;
        let is_dynamic = number(&superblock, 76)? > 0;
        let inode_size = if is_dynamic { u64::from(half(&superblock, 88)?) } else { 128 };
        let descriptor_size = if features & LARGE == 0 { 32 } else { u64::from(half(&superblock, 254)?) };
        let inodes_per_group = number(&superblock, 40)?;
        if inode_size < 128 || inode_size > block_size || descriptor_size < 32 || inodes_per_group == 0 {
            return None;
        }
        let first = u64::from(number(&superblock, 20)?) + 1;
        let descriptors = (first * block_size, descriptor_size);
        Some(Self { device, block_size, inode_size, inodes_per_group, descriptors, last: None })
    }

    /// Reads from the file at `path`. `None` if the crate has to read it.
    pub(super) fn read(&mut self, path: &Path, offset: u64, into: &mut [u8]) -> Option<Result<usize>> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let inode = self.find(path)?;
            self.last = Some((path.clone(), inode));
        }
        let (_, inode) = self.last.as_ref()?;
        Some(self.read_inode(inode, offset, into))
    }

    fn read_inode(&self, inode: &Inode, offset: u64, into: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(inode.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = into.len().min(left);
        let mut done = 0;
        while done < wanted {
            let at = offset + done as u64;
            let damaged = || Code::Damaged.error(format!("the block of the file at {at} cannot be found"));
            let within = at % self.block_size;
            let run = self.run(inode, at / self.block_size).ok_or_else(damaged)?;
            let length = run.count.saturating_mul(self.block_size).saturating_sub(within);
            let length = usize::try_from(length).unwrap_or(usize::MAX).min(wanted - done);
            if length == 0 {
                return Err(damaged());
            }
            let into = &mut into[done..done + length];
            match run.start {
                None => into.fill(0),
                Some(start) => self.read_blocks(start, within, into).map_err(|_| damaged())?,
            }
            done += length;
        }
        Ok(done)
    }

    /// Returns the longest run from a block of a file on that is easily known.
    fn run(&self, inode: &Inode, block: u64) -> Option<Run> {
        if inode.has_extents { self.extent(inode, block) } else { self.mapped(inode, block) }
    }

    /// Looks a block up in the extent tree. A node has a header and entries of 12 bytes, in the order of the file.
    fn extent(&self, inode: &Inode, block: u64) -> Option<Run> {
        const MAGIC: u16 = 0xF30A;
        const ENTRY: usize = 12;
        const LONGEST: u64 = 0x8000;
        let mut node = inode.map.to_vec();
        // Where what follows the node begins, and the depth that the node must have.
        let mut end = u64::MAX;
        let mut depth = half(&node, 6).filter(|depth| *depth <= DEEPEST)?;
        loop {
            if half(&node, 0)? != MAGIC || half(&node, 6)? != depth {
                return None;
            }
            let entries = node.get(ENTRY..)?.chunks_exact(ENTRY).take(usize::from(half(&node, 2)?));
            let first_of = |entry: &[u8]| number(entry, 0).map_or(u64::MAX, u64::from);
            let before = entries.clone().take_while(|entry| first_of(entry) <= block).last();
            if let Some(next) = entries.clone().map(first_of).find(|first| *first > block) {
                end = end.min(next);
            }
            let hole = Run { start: None, count: end - block };
            let Some(entry) = before else { return Some(hole) };
            if depth > 0 {
                let child = u64::from(number(entry, 4)?) | u64::from(half(entry, 8)?) << 32;
                node = vec![0; usize::try_from(self.block_size).ok()?];
                self.read_blocks(child, 0, &mut node).ok()?;
                depth -= 1;
                continue;
            }
            let within = block - first_of(entry);
            let stored = u64::from(half(entry, 4)?);
            // A longer extent is allocated but not written.
            let (length, is_written) = if stored > LONGEST { (stored - LONGEST, false) } else { (stored, true) };
            if within >= length {
                return Some(hole);
            }
            let start = u64::from(number(entry, 8)?) | u64::from(half(entry, 6)?) << 32;
            return Some(Run { start: is_written.then_some(start + within), count: length - within });
        }
    }

    /// Looks a block up in the block map: 12 block numbers, then a tree each of one, two and three levels.
    fn mapped(&self, inode: &Inode, block: u64) -> Option<Run> {
        let numbers = self.block_size / 4;
        if block < DIRECT {
            return Some(run_of(inode.map.get(index(block)? * 4..index(DIRECT)? * 4)?));
        }
        let mut within = block - DIRECT;
        // How many blocks the tree has.
        let mut count = numbers;
        for level in 0..3 {
            if within < count {
                return self.in_tree(number(&inode.map, index(DIRECT + level)? * 4)?, within, count);
            }
            within -= count;
            count *= numbers;
        }
        None
    }

    fn in_tree(&self, root: u32, block: u64, count: u64) -> Option<Run> {
        let (mut node, mut within, mut count) = (root, block, count);
        loop {
            if node == 0 {
                return Some(Run { start: None, count: count - within });
            }
            let mut numbers = vec![0; index(self.block_size)?];
            self.read_blocks(u64::from(node), 0, &mut numbers).ok()?;
            count /= self.block_size / 4;
            let at = index(within / count)? * 4;
            if count == 1 {
                return Some(run_of(numbers.get(at..)?));
            }
            node = number(&numbers, at)?;
            within %= count;
        }
    }

    fn read_blocks(&self, block: u64, within: u64, into: &mut [u8]) -> std::result::Result<(), ReadFailed> {
        // The first block has the superblock, and no contents.
        let start = block.checked_mul(self.block_size).filter(|start| *start > 0).ok_or(ReadFailed)?;
        self.device.read_at(start.checked_add(within).ok_or(ReadFailed)?, into)
    }

    /// Finds the inode of a path.
    fn find(&self, path: &Path) -> Option<Inode> {
        let mut inode = self.inode(ROOT_INODE)?;
        for name in path.names() {
            inode = self.inode(self.entry(&inode, name)?)?;
        }
        Some(inode)
    }

    /// Reads an inode. `None` if its contents are not in plain blocks.
    fn inode(&self, inode: u32) -> Option<Inode> {
        const ENCRYPTED: u32 = 0x800;
        const EXTENTS: u32 = 0x8_0000;
        const INLINE: u32 = 0x1000_0000;
        let index = inode.checked_sub(1)?;
        let (start, size) = self.descriptors;
        let mut descriptor = [0; 64];
        let known = usize::try_from(size.min(64)).ok()?;
        let at = start + u64::from(index / self.inodes_per_group) * size;
        self.device.read_at(at, &mut descriptor[..known]).ok()?;
        let table = u64::from(number(&descriptor, 8)?) | u64::from(number(&descriptor, 40)?) << 32;
        let mut bytes = [0; 128];
        let at = u64::from(index % self.inodes_per_group) * self.inode_size;
        self.read_blocks(table, at, &mut bytes).ok()?;
        let flags = number(&bytes, 32)?;
        if flags & (ENCRYPTED | INLINE) != 0 {
            return None;
        }
        let size = u64::from(number(&bytes, 4)?) | u64::from(number(&bytes, 108)?) << 32;
        Some(Inode { size, has_extents: flags & EXTENTS != 0, map: bytes[40..].first_chunk().copied()? })
    }

    /// Finds the inode of `name` in a directory. The index of a large one looks like unused entries.
    fn entry(&self, directory: &Inode, name: &[u8]) -> Option<u32> {
        if directory.size > LARGEST_DIRECTORY {
            return None;
        }
        let mut block = vec![0; index(self.block_size)?];
        let mut start = 0;
        while start < directory.size {
            self.read_inode(directory, start, &mut block).ok()?;
            let mut at = 0;
            while at < block.len() {
                let entry = block.get(at..)?;
                let length = match usize::from(half(entry, 4)?) {
                    // The length of a block of 64 KiB does not fit.
                    0xFFFF => block.len(),
                    length if length < 8 => return None,
                    length => length,
                };
                let inode = number(entry, 0)?;
                if inode != 0 && entry.get(8..8 + usize::from(*entry.get(6)?))? == name {
                    return Some(inode);
                }
                at += length;
            }
            start += self.block_size;
        }
        None
    }
}

/// The run that a list of block numbers begins with.
fn run_of(numbers: &[u8]) -> Run {
    let mut numbers = numbers.chunks_exact(4).map(|bytes| number(bytes, 0).map_or(0, u64::from));
    let first = numbers.next().unwrap_or(0);
    let step = u64::from(first != 0);
    let more = (1..).zip(numbers).take_while(|(index, number)| *number == first + index * step).count();
    Run { start: (first != 0).then_some(first), count: 1 + more as u64 }
}

fn index(number: u64) -> Option<usize> {
    usize::try_from(number).ok()
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
