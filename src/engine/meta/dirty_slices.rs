//! Slices that differ from the file, by what their order of writing is.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::table_cache::SliceRef;
use crate::format::units::HostOffset;

/// How much is written by one request at most.
const MAX_WRITE: usize = 1 << 20;

/// Dirty slices in the order of the file.
#[derive(Default)]
pub(crate) struct Dirty {
    slices: RefCell<BTreeMap<u64, SliceRef>>,
}

impl Dirty {
    /// Sets the word at byte `at` of `slice`, which begins at `start` in the file.
    pub(crate) fn set_word(&self, start: HostOffset, slice: &SliceRef, at: usize, word: u64) {
        if slice.word(at) == word {
            return;
        }
        // What is dirty is among them already.
        if slice.is_clean() {
            self.add(start, slice);
        }
        slice.set_word(at, word);
    }

    /// Takes up the whole of `slice`, of a table that the file doesn't hold yet.
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

    /// Nothing of it is to be written any more, for nothing in the file will point to it.
    pub(super) fn forget(&self) {
        self.mark_written(self.len());
    }

    /// The first `count` slices are written as they are now.
    pub(super) fn mark_written(&self, count: usize) {
        let mut slices = self.slices.borrow_mut();
        for _ in 0..count {
            if let Some((_, slice)) = slices.pop_first() {
                slice.mark_clean();
            }
        }
    }

    /// Puts the dirty bytes of the first slices into `buf`, as far as they lie side by side; where they begin in the
    /// file, and how many slices they are: 0 where none is dirty.
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
