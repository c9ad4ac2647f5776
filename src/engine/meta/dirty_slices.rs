//! Slices that differ from the file. There is one set for each step of the write order.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::table_cache::SliceRef;
use crate::format::units::HostOffset;

/// The largest write of dirty slices, in bytes.
const MAX_WRITE: usize = 1 << 20;

/// A set of dirty slices, ordered by host offset.
#[derive(Default)]
pub(crate) struct Dirty {
    slices: RefCell<BTreeMap<u64, SliceRef>>,
}

impl Dirty {
    /// Sets the word at byte `at` of `slice`, which begins at host offset `start`.
    #[inline]
    pub(crate) fn set_word(&self, start: HostOffset, slice: &SliceRef, at: usize, word: u64) {
        Self::set_word_in(|| self, start, slice, at, word);
    }

    /// As [`Self::set_word`]. `set_of_slice` returns the set that the slice belongs to; it is called only if needed.
    #[inline]
    pub(super) fn set_word_in<'a>(
        set_of_slice: impl FnOnce() -> &'a Self,
        start: HostOffset,
        slice: &SliceRef,
        at: usize,
        word: u64,
    ) {
        if slice.word(at) == word {
            return;
        }
        // A dirty slice is in its set already.
        if slice.is_clean() {
            set_of_slice().add(start, slice);
        }
        slice.set_word(at, word);
    }

    /// Adds `slice` and marks all of it as dirty, for a table that the file doesn't hold yet.
    pub(crate) fn add_whole(&self, start: HostOffset, slice: &SliceRef) {
        slice.mark_whole();
        self.add(start, slice);
    }

    fn add(&self, start: HostOffset, slice: &SliceRef) {
        self.slices.borrow_mut().entry(start.0).or_insert_with(|| Rc::clone(slice));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slices.borrow().is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.slices.borrow().len()
    }

    /// Discards all changes, because nothing in the file will point to these slices.
    pub(super) fn forget(&self) {
        self.mark_written(self.len());
    }

    /// Marks the first `count` slices as clean, after they were written as they are now.
    pub(super) fn mark_written(&self, count: usize) {
        let mut slices = self.slices.borrow_mut();
        for _ in 0..count {
            if let Some((_, slice)) = slices.pop_first() {
                slice.mark_clean();
            }
        }
    }

    /// Copies the dirty bytes of the first slices that are contiguous in the file into `buf`.
    ///
    /// Returns the host offset of these bytes, and the number of slices: 0 if no slice is dirty.
    pub(super) fn gather(&self, buf: &mut Vec<u8>) -> (HostOffset, usize) {
        buf.clear();
        let slices = self.slices.borrow();
        let (mut offset, mut count) = (0, 0);
        for (start, slice) in slices.iter() {
            let length = buf.len();
            let begin = start + slice.append_dirty(buf) as u64;
            if count == 0 {
                offset = begin;
            } else if begin != offset + length as u64 || buf.len() > MAX_WRITE {
                buf.truncate(length);
                break;
            }
            count += 1;
        }
        (HostOffset(offset), count)
    }
}
