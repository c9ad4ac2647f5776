//! A file of the backing chain, as reads use it.

use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};

use super::bitmap::list::Bitmaps;
use super::change::observer::{Observers, Pause};
use crate::error::{Corrupt, Error, Problem};
use crate::format::header::Header;
use crate::format::l1::L1Table;
use crate::format::snapshot::Snapshot;
use crate::format::units::{GuestOffset, HostOffset};
use crate::meta::active_requests::Request;
use crate::meta::attempt::Attempt;
use crate::meta::compressed::Compressed;
use crate::meta::current_header::CurrentHeader;
use crate::meta::encrypted::Encrypted;
use crate::meta::exclusive::SharedGuard;
use crate::meta::host_file::{Files, HostFile};
use crate::meta::lookup::Tables;
use crate::meta::run::Run;
use crate::meta::writeback::Writeback;
use crate::storage::Storage;

/// An open qcow2 file.
pub(crate) struct Qcow2File<S> {
    pub(crate) files: Files<S>,
    pub(crate) current_header: Rc<CurrentHeader>,
    /// The active disk, which writes change.
    pub(crate) active: Rc<View>,
    pub(crate) snapshots: RefCell<Rc<[Snapshot]>>,
    /// The bitmaps, if the file is open for writing.
    pub(crate) bitmaps: Rc<Bitmaps>,
    pub(crate) damage: RefCell<Damage>,
    /// The snapshots that are open for reading.
    pub(crate) open_snapshots: RefCell<Vec<Weak<View>>>,
    pub(crate) tables: Tables,
    pub(crate) compressed: Compressed,
    /// `None` if the data is not encrypted.
    pub(crate) encrypted: Option<Encrypted>,
    /// Notified of every change of the active disk.
    pub(crate) observers: Observers,
    /// Called between the steps of long operations.
    pub(crate) pause: RefCell<Option<Pause>>,
    /// The metadata that is not written yet; empty if the file is open for reading.
    pub(crate) writeback: OnceCell<Writeback>,
}

/// The problems of a file whose active disk can be read nevertheless. A file that is open for writing has none.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// Problems of the header or its extensions.
    pub(crate) header: Vec<Problem>,
    /// A problem of the snapshot table: only the snapshots before it are known.
    pub(crate) snapshots: Option<Corrupt>,
}

/// The L1 table and the size through which a disk of a qcow2 file is read.
///
/// The view of the active disk changes only while the [`Gate`](crate::meta::exclusive::Gate) is closed, so never during
/// a request.
pub(crate) struct View {
    l1: Cell<L1Table>,
    size: Cell<u64>,
}

/// A disk: a file of the backing chain, with a view if it is a qcow2 file. A clone is the same disk.
pub(crate) enum Layer<S> {
    Raw(Rc<HostFile<S>>),
    Qcow2 { file: Rc<Qcow2File<S>>, view: Rc<View> },
}

impl Damage {
    pub(crate) fn problems(&self) -> impl Iterator<Item = Problem> {
        self.header.iter().cloned().chain(self.snapshots.map(Problem::from))
    }
}

impl<S> Qcow2File<S> {
    pub(crate) fn header(&self) -> Rc<Header> {
        self.current_header.get()
    }

    pub(crate) fn remember_open_snapshot(&self, view: &Rc<View>) {
        let mut open = self.open_snapshots.borrow_mut();
        open.retain(|view| view.strong_count() > 0);
        open.push(Rc::downgrade(view));
    }
}

impl<S: Storage> Qcow2File<S> {
    /// Begins a request that reads tables or what they point to. Until it ends, they stay as they are, and unlinked
    /// clusters are not reused. Waits only for operations that restructure the tables.
    pub(crate) async fn begin_request(&self) -> Option<(SharedGuard<'_>, Request<'_>)> {
        let writeback = self.writeback.get()?;
        let inside = match writeback.gate.try_enter() {
            Some(inside) => inside,
            None => writeback.gate.enter().await,
        };
        Some((inside, writeback.requests.begin()))
    }
}

impl View {
    pub(crate) fn new(l1: L1Table, size: u64) -> Self {
        Self { l1: Cell::new(l1), size: Cell::new(size) }
    }

    pub(crate) fn l1(&self) -> L1Table {
        self.l1.get()
    }

    /// In bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size.get()
    }

    pub(crate) fn set(&self, l1: L1Table, size: u64) {
        self.l1.set(l1);
        self.size.set(size);
    }
}

impl<S: Storage> Layer<S> {
    /// The disk's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Raw(file) => file.size(),
            Self::Qcow2 { view, .. } => view.size(),
        }
    }

    /// Resolves the run at `start`, of at most `limit` bytes, without waiting. `limit` is not 0; the caller keeps
    /// within the disk.
    #[inline]
    pub(crate) fn resolve(&self, start: GuestOffset, limit: u64) -> Attempt<Run> {
        match self {
            Self::Raw(_) => Ok(Run::raw(HostOffset(start.0), limit)),
            Self::Qcow2 { file, view } => file.tables.resolve(file.files.image.id(), view.l1(), start, limit),
        }
    }

    /// Completes the lookup whose first attempt returned `first`. See [`Tables::run`].
    pub(crate) async fn run(
        &self,
        start: GuestOffset,
        limit: u64,
        first: Attempt<Run>,
    ) -> Result<Run, Error<S::Error>> {
        match self {
            Self::Raw(_) => Ok(Run::raw(HostOffset(start.0), limit)),
            Self::Qcow2 { file, view } => file.tables.run(&file.files.image, view.l1(), start, limit, first).await,
        }
    }

    /// Resolves the longest run at `start`, loading the tables that it needs.
    pub(crate) async fn run_at(&self, start: GuestOffset, limit: u64) -> Result<Run, Error<S::Error>> {
        self.run(start, limit, self.resolve(start, limit)).await
    }

    /// The offset within the cluster; 0 for a raw file, which has no clusters.
    pub(crate) fn offset_in_cluster(&self, offset: GuestOffset) -> usize {
        match self {
            Self::Raw(_) => 0,
            // Less than a cluster, so less than 2 MiB.
            Self::Qcow2 { file, .. } => {
                usize::try_from(file.tables.geometry().offset_in_cluster(offset)).unwrap_or(usize::MAX)
            }
        }
    }

    /// Reads the data at `host`, which is mapped at `guest`, into `buf`. The range is within one run.
    pub(crate) async fn read_data(
        &self,
        guest: GuestOffset,
        host: HostOffset,
        buf: &mut [u8],
    ) -> Result<(), Error<S::Error>> {
        let file = match self {
            Self::Raw(file) => file,
            Self::Qcow2 { file, .. } => match &file.encrypted {
                None => file.files.data(),
                // On the heap: it is large, and the future of a read is moved often.
                Some(encrypted) => return Box::pin(encrypted.read(file.files.data(), guest, host, buf)).await,
            },
        };
        file.read(host, buf).await.map_err(Error::Storage)
    }
}

impl<S> Clone for Layer<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Raw(file) => Self::Raw(file.clone()),
            Self::Qcow2 { file, view } => Self::Qcow2 { file: file.clone(), view: view.clone() },
        }
    }
}
