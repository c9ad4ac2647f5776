//! A file of the chain, as reads see it.

use alloc::rc::Rc;
use core::cell::OnceCell;

use crate::error::{Corrupt, Error};
use crate::format::header::{Header, L1Table};
use crate::format::units::{GuestOffset, HostOffset};
use crate::meta::compressed::Compressed;
use crate::meta::host_file::{Files, HostFile};
use crate::meta::mapping::{Mapping, Run, Tables};
use crate::meta::writeback::Writeback;
use crate::storage::Storage;

/// A qcow2 file, open.
pub(crate) struct Qcow2File<S> {
    pub(crate) files: Files<S>,
    /// As it was when the file was opened.
    pub(crate) opened_header: Header,
    /// As it is since it was repaired.
    pub(crate) repaired_header: OnceCell<Header>,
    pub(crate) tables: Tables,
    pub(crate) compressed: Compressed,
    /// What is not written yet; empty where the file is open for reading.
    pub(crate) writeback: OnceCell<Writeback>,
}

/// A disk: a file of the chain, seen through an L1 table where it is a qcow2 file. A clone is the same disk.
pub(crate) enum Layer<S> {
    Raw(Rc<HostFile<S>>),
    Qcow2 { file: Rc<Qcow2File<S>>, l1: L1Table, size: u64 },
}

impl<S> Qcow2File<S> {
    pub(crate) fn header(&self) -> &Header {
        self.repaired_header.get().unwrap_or(&self.opened_header)
    }
}

impl<S: Storage> Layer<S> {
    /// The disk's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Raw(file) => file.size(),
            Self::Qcow2 { size, .. } => *size,
        }
    }

    /// The run at `start`, of at most `limit` bytes, which is not 0; the caller keeps within the disk.
    pub(crate) async fn run_at(&self, start: GuestOffset, limit: u64) -> Result<Run, Error<S::Error>> {
        match self {
            Self::Raw(_) => Ok(Run { length: limit, mapping: Mapping::Data(HostOffset(start.0)) }),
            Self::Qcow2 { file, l1, .. } => file.tables.run_at(&file.files.image, *l1, start, limit).await,
        }
    }

    /// As [`Layer::run_at`], from what is in memory; `None` where that doesn't tell all of the run.
    pub(crate) fn held_run(&self, start: GuestOffset, limit: u64) -> Result<Option<Run>, Corrupt> {
        match self {
            Self::Raw(_) => Ok(Some(Run { length: limit, mapping: Mapping::Data(HostOffset(start.0)) })),
            Self::Qcow2 { file, l1, .. } => file.tables.held_run(file.files.image.id(), *l1, start, limit),
        }
    }

    /// How far `offset` is into its cluster; 0 for a raw file, which has none.
    pub(crate) fn offset_in_cluster(&self, offset: GuestOffset) -> usize {
        match self {
            Self::Raw(_) => 0,
            // Less than a cluster, hence than 2 MiB.
            Self::Qcow2 { file, .. } => {
                usize::try_from(file.header().geometry().offset_in_cluster(offset)).unwrap_or(usize::MAX)
            }
        }
    }

    /// The file that holds the data of its runs.
    pub(crate) fn data(&self) -> &HostFile<S> {
        match self {
            Self::Raw(file) => file,
            Self::Qcow2 { file, .. } => file.files.data(),
        }
    }
}

impl<S> Clone for Layer<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Raw(file) => Self::Raw(file.clone()),
            Self::Qcow2 { file, l1, size } => Self::Qcow2 { file: file.clone(), l1: *l1, size: *size },
        }
    }
}
