//! Creating a snapshot.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::table::Entries;
use crate::error::{Error, Misuse};
use crate::format::l1::L1Entry;
use crate::format::snapshot::Snapshot;
use crate::image::Image;
use crate::image::check::Progress;
use crate::image::progress::Steps;
use crate::image::write::rewrite_tables::Rewrite;
use crate::meta::writeback::Writeback;
use crate::storage::StorageMut;

/// QEMU's limit on a name.
pub(in crate::image) const MAX_NAME: usize = 255;

/// The options for creating a snapshot.
#[derive(Clone, Debug, Default)]
pub struct SnapshotOptions {
    name: String,
    date: (u32, u32),
    vm_clock_nsec: u64,
    icount: Option<u64>,
    vm_state_size: u64,
}

impl SnapshotOptions {
    /// Options for a snapshot called `name`, of at most 255 bytes. Several snapshots may share a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Sets the date: seconds since 1970, and the nanoseconds of that second. Default 0.
    #[must_use]
    pub fn date(self, seconds: u32, nanoseconds: u32) -> Self {
        Self { date: (seconds, nanoseconds), ..self }
    }

    /// Sets how long the machine has run, in nanoseconds. Default 0.
    #[must_use]
    pub fn vm_clock_nsec(self, nanoseconds: u64) -> Self {
        Self { vm_clock_nsec: nanoseconds, ..self }
    }

    /// Sets how many instructions the machine has run, if it counts them.
    #[must_use]
    pub fn icount(self, icount: Option<u64>) -> Self {
        Self { icount, ..self }
    }

    /// Sets the length in bytes of the VM state written by [`Image::write_vm_state`].
    ///
    /// The new snapshot takes it over.
    #[must_use]
    pub fn vm_state_size(self, bytes: u64) -> Self {
        Self { vm_state_size: bytes, ..self }
    }
}

impl<S: StorageMut> Image<S> {
    /// Creates a snapshot of the disk. Its id is one more than the largest.
    ///
    /// Takes time in proportion to the tables that map allocated clusters, not to the data. `on_progress` receives how
    /// many of how many L2 tables are done, and can stop the operation with [`Misuse::Cancelled`]. Waits for the
    /// running requests; new requests wait for it. The snapshot is durable when it completes. If it fails or is
    /// dropped, the image is unchanged.
    ///
    /// Fails if the refcounts are too narrow for one more reference (always with 1 bit), and with an external data
    /// file. A VM state that no snapshot takes over is dropped.
    pub async fn create_snapshot(
        &self,
        options: &SnapshotOptions,
        on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Snapshot, Error<S::Error>> {
        let writeback = self.writable_with_snapshots()?;
        if options.name.len() > MAX_NAME {
            return Err(Misuse::SnapshotNameTooLong(options.name.len()).into());
        }
        let bits = 1 << self.top.header().raw().refcount_order;
        if bits == 1 {
            return Err(Misuse::TooManyReferences { bits }.into());
        }
        let closed = writeback.gate.close().await;
        writeback.check_writable()?;
        let file = &*self.top;
        let (size, old) = (file.active.size(), file.active.l1());
        let geometry = file.tables.geometry();
        let mut entries = Entries::read(file).await?;
        let mut rewrite = Rewrite::begin(file, writeback, &closed, Steps::new(on_progress)).await?;
        let l1 = rewrite.read_l1(old).await?;
        rewrite.expect(l1.len());
        let (disk, after) = split(&l1, geometry.l1_entries_for(size));
        let shared = rewrite.share(disk, old.offset, true).await?;
        let (vm_state, rest) = split(after, geometry.l1_entries_for(options.vm_state_size));
        let mut snapshot_l1 = shared.clone();
        if options.vm_state_size > 0 {
            rewrite.hand_over(vm_state, old.offset)?;
            snapshot_l1.extend(vm_state.iter().map(|entry| entry.with_copied(false)));
        }
        let offset = old.offset.plus(8 * (disk.len() + vm_state.len()) as u64);
        rewrite.remove(rest, offset).await?;
        let active = rewrite.write_l1(&shared).await?;
        let of_snapshot = rewrite.write_l1(&snapshot_l1).await?;
        rewrite.remove_l1(old).await?;
        let snapshot = Snapshot {
            id: entries.new_id().to_string(),
            name: options.name.clone(),
            date_sec: options.date.0,
            date_nsec: options.date.1,
            vm_clock_nsec: options.vm_clock_nsec,
            vm_state_size: options.vm_state_size,
            disk_size: Some(size),
            icount: options.icount,
            l1_table_offset: of_snapshot.offset.0,
            l1_entries: u32::try_from(of_snapshot.entries).unwrap_or(u32::MAX),
            unknown_extra_data: Vec::new(),
        };
        entries.list.push((snapshot.clone(), snapshot.to_entry()));
        entries.replace(&mut rewrite).await?;
        rewrite.new.table_pointers().l1 = active;
        rewrite.new.commit().await?;
        file.active.set(active, size);
        file.snapshots.replace(entries.into_snapshots().into());
        Ok(snapshot)
    }
}

impl<S: StorageMut> Image<S> {
    pub(in crate::image) fn writable_with_snapshots(&self) -> Result<&Writeback, Misuse> {
        if self.top.files.data_file.is_some() {
            return Err(Misuse::SnapshotsWithDataFile);
        }
        self.writable()
    }
}

/// Splits after the first `count` entries, or after all if there are fewer.
fn split(l1: &[L1Entry], count: u64) -> (&[L1Entry], &[L1Entry]) {
    l1.split_at(usize::try_from(count).unwrap_or(usize::MAX).min(l1.len()))
}
