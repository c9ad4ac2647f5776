//! The host offset of data, for callers that read and write the storage themselves.

use crate::error::Error;
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::change::step::InPlace;
use crate::image::layer::Layer;
use crate::meta::run::{Mapping, Run};
use crate::storage::{Storage, StorageMut};

impl<S: Storage> Image<S> {
    /// The host offset of the `length` bytes at `offset` of the disk, in the data file, or in the image file where there
    /// is none; if they are stored as they are and contiguously, and the cached tables say so.
    ///
    /// Then they can be read from that storage with nothing in between. It holds until the image is used, or a request to
    /// it goes on: one that changes the disk may leave anything there. `None` says nothing: [`read_at`](Self::read_at)
    /// reads every range, and brings the tables into the cache.
    pub fn cached_host_offset(&self, offset: u64, length: u64) -> Option<u64> {
        let disk = self.disk();
        let Layer::Qcow2 { file, .. } = disk else { return None };
        // While the tables are restructured they are not read.
        let changing = file.writeback.get().is_some_and(|writeback| writeback.gate.try_enter().is_none());
        let within = length != 0 && offset.checked_add(length).is_some_and(|end| end <= disk.size());
        if changing || !within || file.encrypted.is_some() {
            return None;
        }
        let Run { length: found, mapping: Mapping::Data(host), .. } = disk.resolve(GuestOffset(offset), length).ok()?
        else {
            return None;
        };
        let whole = found == length && host.plus(length).0 <= file.files.data().size();
        whole.then_some(host.0)
    }
}

impl<S: StorageMut> Image<S> {
    /// Writes the `length` bytes at `offset` of the disk in place by one call of `write`, which gets the data file (or the
    /// image file where there is none) and the host offset; otherwise as [`write_at`](Self::write_at).
    ///
    /// Returns `None`, and does not call `write`, if they cannot be written so, or the cached tables do not say it.
    pub fn write_in_place_with(
        &self,
        offset: u64,
        length: u64,
        write: impl FnOnce(&S, u64) -> Result<(), S::Error>,
    ) -> Option<Result<(), Error<S::Error>>> {
        let disk = self.try_enter_write(offset, length)?;
        let run = disk.resolve(GuestOffset(offset), length).ok()?;
        let step @ InPlace { host, .. } = disk.in_place(&run).ok()?.filter(|step| step.length == length)?;
        disk.notify(&(offset..offset + length));
        let written = disk.file.files.data().write_by(host, length, |storage| write(storage, host.0));
        drop(step);
        Some(written.map_err(Error::Storage))
    }
}
