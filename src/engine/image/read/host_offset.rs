//! Where data are, for callers who read and write the storage themselves.

use crate::error::Error;
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::layer::Layer;
use crate::image::write::fast_path::InPlace;
use crate::meta::mapping::Mapping;
use crate::storage::{Storage, StorageMut};

impl<S: Storage> Image<S> {
    /// Where the `length` bytes at `offset` of the disk begin in the data file, or in the image file where there is none;
    /// if they are there as they are and in one piece, and the tables in memory tell that.
    ///
    /// Then they can be read from that storage with nothing in between. It holds until the image is used, or a request to it
    /// goes on: one that changes the disk may leave anything at the place. `None` says nothing: [`read_at`](Self::read_at)
    /// reads every range, and brings the tables into memory.
    pub fn held_place(&self, offset: u64, length: u64) -> Option<u64> {
        let disk = self.disk();
        let Layer::Qcow2 { file, .. } = disk else { return None };
        // While the tables change as a whole nobody reads them.
        let changing = file.writeback.get().is_some_and(|writeback| writeback.gate.try_enter().is_none());
        let within = length != 0 && offset.checked_add(length).is_some_and(|end| end <= disk.size());
        if changing || !within || file.encrypted.is_some() {
            return None;
        }
        let run = disk.held_run(GuestOffset(offset), length).ok()??;
        let Mapping::Data(place) = run.mapping else { return None };
        let all_there = run.length == length && place.plus(length).0 <= file.files.data().size();
        all_there.then_some(place.0)
    }
}

impl<S: StorageMut> Image<S> {
    /// Writes in place by one call of `write`, which gets the data file (or the image file where there is none) and the place
    /// in it for the `length` bytes at `offset` of the disk; otherwise as [`write_at`](Self::write_at).
    ///
    /// `None` where they can't be written so, or the tables in memory don't tell; `write` is not called then.
    pub fn write_at_held_place(
        &self,
        offset: u64,
        length: u64,
        write: impl FnOnce(&S, u64) -> Result<(), S::Error>,
    ) -> Option<Result<(), Error<S::Error>>> {
        let InPlace { disk, place, request: _request } =
            self.decide_in_place(offset, length).filter(|_| length != 0)?;
        let written = disk.file.files.data().write_by(place, length, |storage| write(storage, place.0));
        Some(disk.writeback.remember(written))
    }
}
