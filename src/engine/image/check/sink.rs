//! What a walk over an image reports to its caller.

use super::finding::Finding;
use crate::error::Error;
use crate::format::l1::L1Entry;
use crate::format::l2::L2Entry;
use crate::format::l2_corruption::Target;
use crate::format::units::HostOffset;

/// Something in the file refers to an area of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::image) struct Reference {
    /// Where the reference is.
    pub(in crate::image) place: HostOffset,
    pub(in crate::image) start: HostOffset,
    pub(in crate::image) length: u64,
    pub(in crate::image) what: Referred,
}

/// What a reference is to.
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

/// Whose table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::image) enum Owner {
    /// The disk's as it is now.
    Active,
    /// That snapshot's, in the order of the table.
    Snapshot(usize),
}

/// Receives what a walk finds.
pub(in crate::image) trait Sink<E> {
    fn refer(&mut self, reference: Reference);

    fn find(&mut self, _finding: Finding) {}

    /// An L1 entry with an L2 table.
    async fn l1_entry(&mut self, _owner: Owner, _place: HostOffset, _entry: L1Entry) -> Result<(), Error<E>> {
        Ok(())
    }

    /// An L2 entry that is not all zeros.
    fn l2_entry(&mut self, _owner: Owner, _place: HostOffset, _entry: L2Entry, _target: Target) {}

    /// An L2 table has ended.
    async fn end_of_table(&mut self) -> Result<(), Error<E>> {
        Ok(())
    }

    /// So many entries of L1 tables are done.
    fn progress(&mut self, _entries: u64) -> Result<(), Error<E>> {
        Ok(())
    }
}
