//! What is asked of an image.

use std::ops::ControlFlow;

use qcow2_web::{Image, ResizeOptions, SnapshotOptions, ZeroMode};

use super::{Failed, File};
use crate::input::Input;
use crate::limits::ready;

/// What a disk is made at most, in sectors.
const LARGEST: u64 = 1 << 10;

#[derive(Debug)]
pub(super) enum Request {
    Read {
        offset: u64,
        length: u64,
    },
    Write {
        offset: u64,
        data: Vec<u8>,
    },
    Compressed {
        offset: u64,
        data: Vec<u8>,
    },
    Zeroes {
        offset: u64,
        length: u64,
        unmap: bool,
    },
    Discard {
        offset: u64,
        length: u64,
    },
    Flush,
    Reopen,
    Snapshot,
    Apply(Which),
    Delete(Which),
    /// In bytes.
    Resize(u64),
}

/// Which of the snapshots that there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Which(u8);

impl Which {
    pub(super) fn index(self, count: usize) -> Option<usize> {
        usize::from(self.0).checked_rem(count)
    }
}

impl Request {
    /// To a disk of `size` bytes, which are not 0.
    pub(super) fn of(input: &mut Input<'_>, size: u64, cluster_size: u64) -> Self {
        let kind = input.u8();
        match kind {
            0xf0..=0xf4 => return Self::Flush,
            0xf5..=0xf8 => return Self::Reopen,
            0xf9 | 0xfa => return Self::Snapshot,
            0xfb | 0xfc => return Self::Apply(Which(input.u8())),
            0xfd => return Self::Delete(Which(input.u8())),
            0xfe | 0xff => return Self::Resize((1 + input.u16() % LARGEST) * 512),
            _ => {}
        }
        let mut offset = if kind & 0x80 == 0 { input.u32() } else { input.u64() } % size;
        let mut length = (1 + input.u16() * 2).min(size - offset);
        let first = input.u8();
        if kind & 0x40 != 0 || kind % 8 == 3 {
            let end = (offset + length).next_multiple_of(cluster_size).min(size);
            offset = offset / cluster_size * cluster_size;
            length = end - offset;
        }
        // Every other one is hard to compress.
        let data =
            || (0..length).map(|at| first.wrapping_add((at * (1 + at % 7 * u64::from(first & 1))) as u8)).collect();
        match kind % 8 {
            0..=2 => Self::Write { offset, data: data() },
            3 => Self::Compressed { offset, data: data() },
            4 => Self::Zeroes { offset, length, unmap: first & 1 != 0 },
            5 | 6 => Self::Discard { offset, length },
            _ => Self::Read { offset, length },
        }
    }

    /// What it reads, if it does.
    pub(super) fn run(&self, image: &Image<File>) -> Result<Vec<u8>, Failed> {
        let go_on = |_| ControlFlow::Continue(());
        let named = |which: Which| {
            let snapshots = image.snapshots();
            which.index(snapshots.len()).map(|index| snapshots[index].id.clone())
        };
        match self {
            Self::Read { offset, length } => return read(image, *offset, *length),
            Self::Write { offset, data } => ready(image.write_at(*offset, data)),
            Self::Compressed { offset, data } => ready(image.write_compressed(*offset, data)),
            Self::Zeroes { offset, length, unmap } => ready(image.write_zeroes(*offset, *length, zero_mode(*unmap))),
            Self::Discard { offset, length } => ready(image.discard(*offset, *length)),
            Self::Flush => ready(image.flush()),
            Self::Reopen => ready(image.close()),
            Self::Snapshot => ready(image.create_snapshot(&SnapshotOptions::new("one"), go_on)).map(drop),
            Self::Apply(which) => match named(*which) {
                Some(id) => ready(image.apply_snapshot(&id, go_on)),
                None => Ok(()),
            },
            Self::Delete(which) => match named(*which) {
                Some(id) => ready(image.delete_snapshot(&id, go_on)).map(drop),
                None => Ok(()),
            },
            Self::Resize(size) => ready(image.resize(*size, &ResizeOptions::new().shrink(true))),
        }
        .map(|()| Vec::new())
    }

    /// Even a sound image may not be able to do that.
    pub(super) fn may_be_refused(&self, error: &Failed) -> bool {
        match self {
            Self::Compressed { .. } => error.code() == "NO_COMPRESSION",
            Self::Snapshot => matches!(error.code(), "REFCOUNT_LIMIT" | "NO_SNAPSHOTS"),
            Self::Apply(_) => error.code() == "REFCOUNT_LIMIT",
            Self::Resize(_) => error.code() == "RESIZE_NEEDS_VERSION_3",
            _ => false,
        }
    }
}

pub(super) fn read(image: &Image<File>, offset: u64, length: u64) -> Result<Vec<u8>, Failed> {
    let mut buf = vec![0xaa; length as usize];
    ready(image.read_at(offset, &mut buf)).map(|()| buf)
}

fn zero_mode(unmap: bool) -> ZeroMode {
    if unmap { ZeroMode::Unmap } else { ZeroMode::KeepAllocated }
}
