//! A device with the interfaces through which the crates read.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use hadris_storage::{BlockIndex, BlockSize};

use crate::source::{Device, ReadFailed};

/// An adapter from a device to the crates' interfaces.
#[derive(Clone)]
pub(super) struct Reader {
    device: Rc<dyn Device>,
    position: u64,
    /// The sector size of the hadris crates. File systems with larger blocks are read in several sectors.
    sector: BlockSize,
    last: Option<Last>,
}

/// The bytes that a crate read last.
///
/// The crates for btrfs and XFS omit some fields of their metadata, such as times. The last block that they read
/// contains those fields.
pub(super) type Last = Rc<RefCell<Vec<u8>>>;

/// The largest metadata block.
const LARGEST_BLOCK: usize = 64 << 10;

impl Reader {
    pub(super) fn new(device: Rc<dyn Device>) -> Self {
        Self { device, position: 0, sector: SECTOR, last: None }
    }

    /// A reader that keeps a copy of the bytes that it read last.
    pub(super) fn recording(device: Rc<dyn Device>) -> (Self, Last) {
        let last = Last::default();
        (Self { device, position: 0, sector: SECTOR, last: Some(last.clone()) }, last)
    }

    /// Creates a reader for tables with sectors of `sector` bytes.
    pub(super) fn with_sector(device: Rc<dyn Device>, sector: u32) -> Self {
        Self { sector: BlockSize::new(sector).unwrap_or(SECTOR), ..Self::new(device) }
    }

    fn fill(&self, at: u64, into: &mut [u8]) -> Result<(), ReadFailed> {
        self.device.read_at(at, into)?;
        if let Some(last) = &self.last
            && into.len() <= LARGEST_BLOCK
        {
            let mut last = last.borrow_mut();
            last.clear();
            last.extend_from_slice(into);
        }
        Ok(())
    }
}

impl ext4_view::Ext4Read for Reader {
    fn read(&mut self, at: u64, into: &mut [u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.device.read_at(at, into).map_err(Into::into)
    }
}

impl lambutter::BlockRead for Reader {
    type Error = ReadFailed;

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<(), ReadFailed> {
        self.fill(at, into)
    }
}

impl lamxfs::BlockRead for Reader {
    type Error = ReadFailed;

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<(), ReadFailed> {
        self.fill(at, into)
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.device.size().saturating_sub(self.position);
        let count = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.device.read_at(self.position, &mut into[..count]).map_err(io::Error::other)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.device.size().checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

const SECTOR: BlockSize = match BlockSize::new(512) {
    Some(size) => size,
    None => unreachable!(),
};

impl hadris_io::ErrorType for Reader {
    type Error = ReadFailed;
}

impl hadris_storage::sync::BlockDevice for Reader {
    fn block_size(&self) -> BlockSize {
        self.sector
    }

    fn block_count(&self) -> u64 {
        self.device.size() / u64::from(self.sector.get())
    }

    fn read_blocks(&mut self, first: BlockIndex, into: &mut [u8]) -> Result<(), hadris_fs::Error<ReadFailed>> {
        let at = first.get().saturating_mul(u64::from(self.sector.get()));
        self.device.read_at(at, into).map_err(|failed| hadris_fs::Error::device(failed, "the volume ends earlier"))
    }
}

/// The disk for a reader of partition tables with sectors of `sector` bytes.
pub(crate) fn disk_reader(
    disk: Rc<dyn Device>,
    sector: u32,
) -> impl hadris_storage::sync::BlockDevice<Error = ReadFailed> {
    Reader::with_sector(disk, sector)
}
