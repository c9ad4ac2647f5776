//! Space that is allocated behind the end of a file that grows.
//!
//! A file system that allocates while data come takes a good part of a write's time for it: with ext4 of Linux 6.18,
//! 512 MiB that are appended in pieces of 1 MiB take 94 ms of CPU time, and 55 ms where space was allocated before.

use std::cell::Cell;
use std::fs::File;

/// Smaller writes allocate nothing ahead: those into new clusters leave holes, which should not take space.
const LARGE: u64 = 64 << 10;
/// How much is allocated behind the end at most.
const MOST: u64 = 64 << 20;

/// What one file has behind its end.
#[derive(Debug)]
pub(super) struct Preallocation {
    /// The file's length when it was opened.
    at_first: u64,
    /// The file's length now.
    length: Cell<u64>,
    /// Where the space ends that was allocated ahead; 0 before the first.
    end: Cell<u64>,
    /// The file system would not do it: it isn't asked again.
    refused: Cell<bool>,
}

impl Preallocation {
    pub(super) fn new(file: &File) -> Self {
        let length = file.metadata().map(|metadata| metadata.len());
        let refused = length.is_err();
        let length = length.unwrap_or(0);
        Self { at_first: length, length: Cell::new(length), end: Cell::new(0), refused: Cell::new(refused) }
    }

    /// To be called before `length` bytes are written at `offset`.
    #[inline]
    pub(super) fn before_write(&self, file: &File, offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        if end > self.length.get() {
            self.before_growth(file, offset, end);
        }
    }

    fn before_growth(&self, file: &File, offset: u64, end: u64) {
        self.length.set(end);
        if end - offset < LARGE || end <= self.end.get() || self.refused.get() {
            return;
        }
        let grown = end.saturating_sub(self.at_first);
        let until = end.saturating_add(grown.min(MOST));
        if allocate(file, offset, until) {
            self.end.set(until);
        } else {
            self.refused.set(true);
        }
    }

    /// To be called after the file was cut, or made longer. What it had behind its end is gone when it was cut.
    pub(super) fn after_set_size(&self, size: u64) {
        if size < self.length.replace(size) {
            self.end.set(0);
        }
    }

    /// Frees what is allocated behind the end, unless somebody else has changed the file's length.
    pub(super) fn give_back(&self, file: &File) {
        let length = self.length.get();
        if self.end.get() > length && file.metadata().is_ok_and(|metadata| metadata.len() == length) {
            // What can't be freed is only taken.
            let _ = file.set_len(length);
        }
    }
}

/// Allocates what is behind the file's end in a range, and leaves its length; whether the file system did so.
#[cfg(target_os = "linux")]
fn allocate(file: &File, start: u64, end: u64) -> bool {
    use rustix::fs::{FallocateFlags, fallocate};
    fallocate(file, FallocateFlags::KEEP_SIZE, start, end - start).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64, _: u64) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::ready::now_or_never;
    use crate::storage::{FileStorage, StorageMut};

    const MIB: usize = 1 << 20;

    fn length_and_space(file: &File) -> (u64, u64) {
        let metadata = file.metadata().unwrap();
        (metadata.len(), metadata.blocks() * 512)
    }

    fn write(storage: &FileStorage, offset: u64, length: usize) {
        now_or_never(storage.write_at(offset, &vec![7; length])).unwrap().unwrap();
    }

    /// A file in a folder where the file system can allocate ahead; `None` where it can't.
    fn growing() -> Option<(File, FileStorage)> {
        let file = tempfile::tempfile().unwrap();
        if !allocate(&file, 0, LARGE) {
            return None;
        }
        file.set_len(0).unwrap();
        Some((file.try_clone().unwrap(), FileStorage::from(file)))
    }

    #[test]
    fn what_grows_has_space_behind_its_end_until_it_is_dropped() {
        let Some((file, storage)) = growing() else { return };
        for index in 0..3 {
            write(&storage, index * MIB as u64, MIB);
        }
        let (length, space) = length_and_space(&file);
        assert_eq!(length, 3 * MIB as u64);
        assert!(space >= 4 * MIB as u64, "{space} bytes are allocated");
        drop(storage);
        let (length, space) = length_and_space(&file);
        assert_eq!(length, 3 * MIB as u64);
        assert!(space < 4 * MIB as u64, "{space} bytes are allocated");
    }

    #[test]
    fn what_was_made_longer_has_it_until_it_is_dropped_too() {
        let Some((file, storage)) = growing() else { return };
        write(&storage, 0, MIB);
        now_or_never(storage.set_size(MIB as u64 + 4096)).unwrap().unwrap();
        drop(storage);
        let (_, space) = length_and_space(&file);
        assert!(space < 3 * MIB as u64 / 2, "{space} bytes are allocated");
    }

    #[test]
    fn small_writes_leave_holes() {
        let Some((file, storage)) = growing() else { return };
        for index in 0..64 {
            write(&storage, index * MIB as u64, 4096);
        }
        let (_, space) = length_and_space(&file);
        assert!(space < 2 * MIB as u64, "{space} bytes are allocated");
    }

    #[test]
    fn writes_in_place_allocate_nothing() {
        let Some((file, _)) = growing() else { return };
        file.set_len(64 * MIB as u64).unwrap();
        let storage = FileStorage::from(file.try_clone().unwrap());
        write(&storage, 0, MIB);
        let (_, space) = length_and_space(&file);
        assert!(space < 2 * MIB as u64, "{space} bytes are allocated");
    }

    #[test]
    fn a_file_that_somebody_else_made_longer_is_left_alone() {
        let Some((file, storage)) = growing() else { return };
        write(&storage, 0, MIB);
        file.set_len(5 * MIB as u64).unwrap();
        drop(storage);
        assert_eq!(length_and_space(&file).0, 5 * MIB as u64);
    }
}
