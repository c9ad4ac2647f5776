//! The interface through which a walk over an image reports to its caller.

use super::finding::Finding;
use crate::error::Error;
use crate::format::l1::L1Entry;
use crate::format::l2::L2Entry;
use crate::format::l2_corruption::Target;
use crate::format::units::HostOffset;

/// A reference from the file to an area of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::image) struct Reference {
    /// The host offset of the reference itself.
    pub(in crate::image) source: HostOffset,
    pub(in crate::image) start: HostOffset,
    pub(in crate::image) length: u64,
    pub(in crate::image) what: Referred,
}

/// The kind of area that a reference points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::image) enum Referred {
    L2Table,
    /// A guest cluster.
    Data,
    Compressed,
    /// A bitmap, its table, or their directory.
    Bitmap,
    SnapshotL1,
    Other,
}

/// The owner of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::image) enum Owner {
    /// The active disk.
    Active,
    /// The snapshot with this index in the snapshot table.
    Snapshot(usize),
}

/// Receives what a walk finds.
pub(in crate::image) trait Sink<E> {
    fn refer(&mut self, reference: Reference);

    fn find(&mut self, _finding: Finding) {}

    /// An L1 entry with an L2 table.
    async fn l1_entry(&mut self, _owner: Owner, _offset: HostOffset, _entry: L1Entry) -> Result<(), Error<E>> {
        Ok(())
    }

    /// An L2 entry that is not all zeros.
    fn l2_entry(&mut self, _owner: Owner, _offset: HostOffset, _entry: L2Entry, _target: Target) {}

    /// Called at the end of an L2 table.
    async fn end_of_table(&mut self) -> Result<(), Error<E>> {
        Ok(())
    }

    /// Reports that this many more L1 entries are complete.
    fn progress(&mut self, _entries: u64) -> Result<(), Error<E>> {
        Ok(())
    }
}
