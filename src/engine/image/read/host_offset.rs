//! The host offset of data, for callers that read and write the storage themselves.

use crate::error::Error;
use crate::format::units::GuestOffset;
use crate::image::Image;
use crate::image::change::step::InPlace;
use crate::image::layer::Layer;
use crate::meta::run::{Mapping, Run};
use crate::storage::{Storage, StorageMut};

impl<S: Storage> Image<S> {
    /// Returns the host offset of the `length` bytes at `offset` if it is cached and they are contiguous.
    ///
    /// The host offset is one of the data file, or of the image file if there is no data file. Returns `None` if the
    /// data is not stored contiguously and unchanged there, or if the tables are not cached.
    ///
    /// The caller can then read them directly from that storage. The offset is valid until the image is used or one of
    /// its requests continues: a request that changes the disk may reuse the clusters. `None` has no meaning for the
    /// data: [`read_at`](Self::read_at) reads every range, and loads the tables into the cache.
    pub fn cached_host_offset(&self, offset: u64, length: u64) -> Option<u64> {
        let disk = self.disk();
        let Layer::Qcow2 { file, .. } = disk else { return None };
        // The tables must not be read while they are restructured.
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
    /// Writes the `length` bytes at `offset` of the disk in place with one call of `write`.
    ///
    /// `write` receives the data file (or the image file if there is none) and the host offset. Otherwise as
    /// [`write_at`](Self::write_at).
    ///
    /// Returns `None` without calling `write` if they cannot be written in place, or if the tables are not cached.
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
