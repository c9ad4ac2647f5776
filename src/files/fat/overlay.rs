//! A volume that is changed in memory.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use hadris_storage::{BlockIndex, BlockSize};

use crate::error::{Code, Result};
use crate::source::{Device, ReadFailed};

/// The unit of changes in bytes. It divides the sectors of all volumes.
pub(super) const BLOCK: u64 = BLOCK_LENGTH as u64;
/// The same, as the length of an array.
const BLOCK_LENGTH: usize = 512;
/// The most blocks that a change may touch: the whole table of a large volume, several times.
const MOST: usize = 256 << 10;

/// The bytes of a volume with changes. Clones share them.
#[derive(Clone)]
pub(super) struct Overlay(Rc<State>);

struct State {
    device: Rc<dyn Device>,
    /// The blocks that were written, by number.
    blocks: RefCell<BTreeMap<u64, [u8; BLOCK_LENGTH]>>,
    /// From this offset on, blocks of zeros are not kept.
    zeros_from: Cell<Option<u64>>,
}

impl Overlay {
    pub(super) fn new(device: Rc<dyn Device>) -> Self {
        Self(Rc::new(State { device, blocks: RefCell::default(), zeros_from: Cell::new(None) }))
    }

    /// The volume as a device that can be written.
    pub(super) fn device(&self) -> Writable {
        Writable(self.clone())
    }

    /// The volume as it is on the disk.
    pub(super) fn before(&self) -> &dyn Device {
        &*self.0.device
    }

    /// The numbers of the blocks that differ, with their bytes.
    pub(super) fn changed(&self) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut changed = Vec::new();
        for (number, bytes) in &*self.0.blocks.borrow() {
            let mut before = [0; BLOCK_LENGTH];
            self.0.device.read_at(number * BLOCK, &mut before).map_err(unreadable)?;
            if before != *bytes {
                changed.push((*number, bytes.to_vec()));
            }
        }
        Ok(changed)
    }

    /// Blocks of zeros that are written from this offset on are dropped: they are where contents go.
    pub(super) fn drop_zeros_from(&self, offset: Option<u64>) {
        self.0.zeros_from.set(offset);
    }

    /// The directory entry at `offset`.
    pub(super) fn entry(&self, offset: u64) -> Result<[u8; 32]> {
        let mut entry = [0; 32];
        self.read(offset, &mut entry).map_err(unreadable)?;
        Ok(entry)
    }

    /// Replaces the directory entry at `offset`.
    pub(super) fn set_entry(&self, offset: u64, entry: &[u8; 32]) -> Result<()> {
        let number = offset / BLOCK;
        let mut block = [0; BLOCK_LENGTH];
        self.read(number * BLOCK, &mut block).map_err(unreadable)?;
        let within = usize::try_from(offset % BLOCK).unwrap_or(0);
        block[within..within + 32].copy_from_slice(entry);
        self.0.blocks.borrow_mut().insert(number, block);
        Ok(())
    }

    /// Reads the volume with its changes.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> std::result::Result<(), ReadFailed> {
        let end = offset + into.len() as u64;
        let blocks = self.0.blocks.borrow();
        let numbers = offset / BLOCK..end.div_ceil(BLOCK);
        // What was changed as a whole need not be on the disk's side of the cache.
        if blocks.range(numbers.clone()).count() as u64 != numbers.end - numbers.start {
            self.0.device.read_at(offset, into)?;
        }
        for (number, block) in blocks.range(numbers) {
            let start = number * BLOCK;
            let (from, to) = (start.max(offset), (start + BLOCK).min(end));
            let [source, target, length] =
                [from - start, from - offset, to - from].map(|at| usize::try_from(at).unwrap_or(0));
            into[target..target + length].copy_from_slice(&block[source..source + length]);
        }
        Ok(())
    }

    fn write(&self, first: u64, bytes: &[u8]) -> std::result::Result<(), ReadFailed> {
        let mut blocks = self.0.blocks.borrow_mut();
        for (number, block) in (first..).zip(bytes.as_chunks().0) {
            let is_content = self.0.zeros_from.get().is_some_and(|from| number * BLOCK >= from);
            if is_content && block.iter().all(|byte| *byte == 0) && !blocks.contains_key(&number) {
                continue;
            }
            if blocks.len() >= MOST {
                return Err(ReadFailed);
            }
            blocks.insert(number, *block);
        }
        Ok(())
    }
}

fn unreadable(failed: ReadFailed) -> crate::Error {
    Code::Damaged.error(failed.to_string())
}

/// An overlay with the interface of the crate.
pub(super) struct Writable(Overlay);

const SIZE: BlockSize = match BlockSize::new(512) {
    Some(size) => size,
    None => unreachable!(),
};

impl hadris_io::ErrorType for Writable {
    type Error = ReadFailed;
}

impl hadris_storage::sync::BlockDevice for Writable {
    fn block_size(&self) -> BlockSize {
        SIZE
    }

    fn block_count(&self) -> u64 {
        self.0.before().size() / BLOCK
    }

    fn writable(&self) -> bool {
        true
    }

    fn read_blocks(
        &mut self,
        first: BlockIndex,
        into: &mut [u8],
    ) -> std::result::Result<(), hadris_fs::Error<ReadFailed>> {
        let at = first.get().saturating_mul(BLOCK);
        self.0.read(at, into).map_err(|failed| hadris_fs::Error::device(failed, "the volume ends earlier"))
    }

    fn write_blocks(
        &mut self,
        first: BlockIndex,
        bytes: &[u8],
    ) -> std::result::Result<(), hadris_fs::Error<ReadFailed>> {
        let written = self.0.write(first.get(), bytes);
        written.map_err(|failed| hadris_fs::Error::device(failed, "the change is too large"))
    }

    fn flush(&mut self) -> std::result::Result<(), hadris_fs::Error<ReadFailed>> {
        Ok(())
    }
}
