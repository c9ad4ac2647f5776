//! Writes that what is in memory decides at once: in place, or into one new cluster behind the end of the file.
//!
//! Nearly all writes are such. They wait for the storage alone, so they need neither the futures that load tables nor
//! those that copy, which are large; and they look nothing up twice.

use alloc::boxed::Box;

use super::Fill;
use super::change::Disk;
use crate::error::Error;
use crate::format::l2::{Cluster, L2Entry, Subclusters};
use crate::format::units::{GuestOffset, HostOffset};
use crate::image::Image;
use crate::image::read::check_range;
use crate::meta::active_requests::Request;
use crate::meta::cluster_locks::HeldRange;
use crate::meta::reservation::Reservation;
use crate::storage::StorageMut;

/// A write in place that is decided, of bytes that are in one piece in the data file.
pub(in crate::image) struct InPlace<'a, S> {
    pub(in crate::image) disk: Disk<'a, S>,
    pub(in crate::image) place: HostOffset,
    pub(in crate::image) request: Request<'a>,
}

/// A write that is decided into a cluster that is reserved and not linked yet.
pub(in crate::image) struct IntoNewCluster<'a, S> {
    write: InPlace<'a, S>,
    guest_cluster: u64,
    entry: L2Entry,
    entry_place: HostOffset,
    reservation: Reservation<'a>,
    held: HeldRange<'a>,
}

impl<S: StorageMut> Image<S> {
    /// Where `length` bytes at `offset` can be written in place; `None` where they can't be, or it takes more than what is
    /// in memory to tell it.
    pub(in crate::image) fn decide_in_place(&self, offset: u64, length: u64) -> Option<InPlace<'_, S>> {
        let disk = self.enter_at_once(offset, length)?;
        let (run, place) = disk.held_place(GuestOffset(offset), length).ok()??;
        if run != length {
            return None;
        }
        Some(InPlace { request: disk.writeback.requests.begin(), disk, place })
    }

    /// Which cluster the `length` bytes at `offset` go into, where nothing shows there yet, nor in a backing file; `None`
    /// where that isn't so, or it takes more than what is in memory to tell it.
    pub(in crate::image) fn decide_new_cluster(&self, offset: u64, length: u64) -> Option<IntoNewCluster<'_, S>> {
        let disk = self.enter_at_once(offset, length)?;
        let (geometry, files) = (disk.geometry(), &disk.file.files);
        let is_plain = self.layers.len() == 1 && files.data_file.is_none() && disk.file.encrypted.is_none();
        let start = GuestOffset(offset);
        let clusters = disk.clusters(start, length);
        if !is_plain || clusters.end - clusters.start != 1 {
            return None;
        }
        let guest_cluster = clusters.start;
        let (entry_place, old) = disk.held_entry(guest_cluster)?;
        let Cluster::Subclusters(Subclusters { host: None, zero, .. }) = old.meaning else { return None };
        let held = disk.writeback.in_flight.try_hold(&clusters)?;
        // There what completes the cluster is zeros already.
        let reservation = disk.reserve_at_once(files.image.untouched())?;
        let filled = Fill::new(geometry, &[old], start, length).subclusters(geometry, disk.guest_offset(guest_cluster));
        let entry = L2Entry::owned(reservation.start(), filled, zero & !filled, geometry);
        let place = reservation.start().plus(geometry.offset_in_cluster(start));
        let write = InPlace { request: disk.writeback.requests.begin(), disk, place };
        Some(IntoNewCluster { write, guest_cluster, entry, entry_place, reservation, held })
    }

    /// The disk for a write of so many bytes that has nothing to wait for, and nothing to do behind it.
    fn enter_at_once(&self, offset: u64, length: u64) -> Option<Disk<'_, S>> {
        let disk = Disk::try_enter(self).filter(|disk| !disk.writeback.write_through)?;
        check_range(offset, length, self.size()).ok().map(|()| disk)
    }
}

impl<S: StorageMut> IntoNewCluster<'_, S> {
    pub(in crate::image) async fn write(self, buf: &[u8]) -> Result<(), Error<S::Error>> {
        let Self {
            write: InPlace { disk, place, request },
            guest_cluster,
            entry,
            entry_place,
            reservation,
            held: _held,
        } = self;
        let image = &disk.file.files.image;
        disk.writeback.remember(image.write(place, buf).await)?;
        // Linking may wait for all requests that are under way.
        drop(request);
        let guard = disk.writeback.lock.acquire().await;
        let linked = disk.writeback.set_held_entry(image.id(), entry_place, entry);
        if linked && !disk.writeback.is_relief_due() {
            reservation.keep();
            return Ok(());
        }
        // The table was evicted meanwhile, or much is dirty: both are rare.
        Box::pin(async {
            let linked = if linked { Ok(()) } else { disk.set_entry(guest_cluster, entry).await };
            let result = match linked {
                Ok(()) => {
                    reservation.keep();
                    disk.writeback.relieve(&disk.file.files).await
                }
                Err(error) => Err(error),
            };
            drop(guard);
            disk.conclude(result).await
        })
        .await
    }
}
