//! The bitmaps of an open image, in memory.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;

use super::bits::Bits;
use crate::error::{BitmapProblem, Misuse};
use crate::format::bitmap::{BitmapInfo, BitmapTable};

/// The bitmaps of an image that is open for writing.
#[derive(Default)]
pub(crate) struct Bitmaps {
    pub(super) list: RefCell<Vec<Bitmap>>,
    /// The bitmaps differ from those in the file.
    pub(super) changed: Cell<bool>,
    /// Some bitmap records the changes of the disk.
    pub(super) any_enabled: Cell<bool>,
    /// The bitmaps are registered as an observer of changes.
    pub(super) is_observing: Cell<bool>,
}

/// A bitmap in memory.
#[derive(Clone, Debug)]
pub(crate) struct Bitmap {
    pub(super) name: String,
    pub(super) granularity_bits: u8,
    pub(super) enabled: bool,
    /// The bitmap was not stored when the image was last written: its contents are meaningless.
    pub(super) inconsistent: bool,
    /// The table in the file; `None` if no bit is set there.
    pub(super) table: Option<BitmapTable>,
    /// The bits that were set since the bitmap was loaded.
    pub(super) added: Bits,
    /// The disk size differs from that of the bitmap in the file.
    pub(super) resized: bool,
}

impl Bitmaps {
    /// Loads the bitmaps that the directory of the file lists.
    pub(crate) fn load(&self, entries: Vec<(BitmapInfo, BitmapTable)>) {
        let bitmap = |(info, table): (BitmapInfo, BitmapTable)| Bitmap {
            name: info.name,
            granularity_bits: table.granularity_bits(),
            enabled: info.auto,
            inconsistent: info.in_use,
            table: Some(table),
            added: Bits::default(),
            resized: false,
        };
        self.list.replace(entries.into_iter().map(bitmap).collect());
        self.update_any_enabled();
    }

    /// Records that `range` of the disk, in bytes, changes.
    pub(crate) fn mark(&self, range: &Range<u64>) {
        if self.any_enabled.get() && !range.is_empty() {
            self.mark_each(range);
        }
    }

    #[cold]
    fn mark_each(&self, range: &Range<u64>) {
        self.changed.set(true);
        for bitmap in self.list.borrow_mut().iter_mut().filter(|bitmap| bitmap.enabled && !bitmap.inconsistent) {
            bitmap.set(range);
        }
    }

    /// Records that the disk size changes.
    pub(crate) fn resize(&self) {
        for bitmap in self.list.borrow_mut().iter_mut() {
            bitmap.resized = true;
            self.changed.set(true);
        }
    }

    pub(super) fn infos(&self) -> Vec<BitmapInfo> {
        let info = |bitmap: &Bitmap| BitmapInfo {
            name: bitmap.name.clone(),
            granularity: 1 << bitmap.granularity_bits,
            in_use: bitmap.inconsistent,
            auto: bitmap.enabled,
        };
        self.list.borrow().iter().map(info).collect()
    }

    pub(super) fn update_any_enabled(&self) {
        let any = self.list.borrow().iter().any(|bitmap| bitmap.enabled && !bitmap.inconsistent);
        self.any_enabled.set(any);
    }

    /// Changes a bitmap, which must be consistent.
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Bitmap)) -> Result<(), Misuse> {
        {
            let mut list = self.list.borrow_mut();
            let bitmap = list.iter_mut().find(|bitmap| bitmap.name == name).ok_or_else(|| missing(name))?;
            if bitmap.inconsistent {
                return Err(problem(name, BitmapProblem::Inconsistent));
            }
            change(bitmap);
        }
        self.changed.set(true);
        self.update_any_enabled();
        Ok(())
    }
}

impl Bitmap {
    /// Sets the bits of a range of the disk, in bytes.
    pub(super) fn set(&mut self, range: &Range<u64>) {
        let end = range.end.div_ceil(1 << self.granularity_bits);
        self.added.set(range.start >> self.granularity_bits..end);
    }
}

pub(super) fn missing(name: &str) -> Misuse {
    problem(name, BitmapProblem::Missing)
}

pub(super) fn problem(name: &str, problem: BitmapProblem) -> Misuse {
    Misuse::Bitmap { name: name.into(), problem }
}
