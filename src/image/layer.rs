//! A file of the chain, as reads see it.

use alloc::rc::Rc;

use crate::error::{Corrupt, Error};
use crate::format::header::{Header, L1Table};
use crate::format::units::{GuestOffset, HostOffset};
use crate::meta::compressed::CompressedReader;
use crate::meta::host_file::HostFile;
use crate::meta::mapping::{Mapping, Run, Tables};
use crate::storage::Storage;

/// A qcow2 file, open.
pub(crate) struct Qcow2File<S> {
    pub(crate) file: HostFile<S>,
    pub(crate) data_file: Option<HostFile<S>>,
    pub(crate) header: Header,
    pub(crate) tables: Tables,
    pub(crate) compressed: CompressedReader,
}

/// A disk: a file of the chain, seen through an L1 table where it is a qcow2 file. A clone is the same disk.
pub(crate) enum Layer<S> {
    Raw(Rc<HostFile<S>>),
    Qcow2 { file: Rc<Qcow2File<S>>, l1: L1Table, size: u64 },
}

impl<S: Storage> Qcow2File<S> {
    /// The file that holds the guest's data.
    pub(crate) fn data(&self) -> &HostFile<S> {
        self.data_file.as_ref().unwrap_or(&self.file)
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
            Self::Qcow2 { file, l1, .. } => file.tables.run_at(&file.file, *l1, start, limit).await,
        }
    }

    /// As [`Layer::run_at`], from what is in memory; `None` where that doesn't tell all of the run.
    pub(crate) fn held_run(&self, start: GuestOffset, limit: u64) -> Result<Option<Run>, Corrupt> {
        match self {
            Self::Raw(_) => Ok(Some(Run { length: limit, mapping: Mapping::Data(HostOffset(start.0)) })),
            Self::Qcow2 { file, l1, .. } => file.tables.held_run(file.file.id(), *l1, start, limit),
        }
    }

    /// How far `offset` is into its cluster; 0 for a raw file, which has none.
    pub(crate) fn offset_in_cluster(&self, offset: GuestOffset) -> usize {
        match self {
            Self::Raw(_) => 0,
            // Less than a cluster, hence than 2 MiB.
            Self::Qcow2 { file, .. } => {
                usize::try_from(file.header.geometry().offset_in_cluster(offset)).unwrap_or(usize::MAX)
            }
        }
    }

    /// The file that holds the data of its runs.
    pub(crate) fn data(&self) -> &HostFile<S> {
        match self {
            Self::Raw(file) => file,
            Self::Qcow2 { file, .. } => file.data(),
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
