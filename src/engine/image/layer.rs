//! A file of the chain, as reads see it.

use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, RefCell};

use super::bitmap::Bitmaps;
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

/// A qcow2 file, open.
pub(crate) struct Qcow2File<S> {
    pub(crate) files: Files<S>,
    pub(crate) current_header: Rc<CurrentHeader>,
    /// The disk that is written.
    pub(crate) active: Rc<View>,
    pub(crate) snapshots: RefCell<Rc<[Snapshot]>>,
    /// The bitmaps, where the file is open for writing.
    pub(crate) bitmaps: Rc<Bitmaps>,
    pub(crate) damage: RefCell<Damage>,
    /// The snapshots that are open to be read.
    pub(crate) open_snapshots: RefCell<Vec<Weak<View>>>,
    pub(crate) tables: Tables,
    pub(crate) compressed: Compressed,
    /// `None` where the data is as it is.
    pub(crate) encrypted: Option<Encrypted>,
    /// Told of every change of the active disk.
    pub(crate) observers: Observers,
    /// Asked between the steps of long operations.
    pub(crate) pause: RefCell<Option<Pause>>,
    /// What is not written yet; empty where the file is open for reading.
    pub(crate) writeback: OnceCell<Writeback>,
}

/// What is wrong with a file although its active disk can be read. A file that is written has none.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// The header, or its extensions.
    pub(crate) head: Vec<Problem>,
    /// The snapshot table: only the snapshots before that are known.
    pub(crate) snapshots: Option<Corrupt>,
}

/// Through which L1 table a qcow2 file is seen, and how much of it.
///
/// That of the active disk changes while the [`Gate`](crate::meta::exclusive::Gate) is closed, hence never under a request.
pub(crate) struct View {
    l1: Cell<L1Table>,
    size: Cell<u64>,
}

/// A disk: a file of the chain, by a view of it where it is a qcow2 file. A clone is the same disk.
pub(crate) enum Layer<S> {
    Raw(Rc<HostFile<S>>),
    Qcow2 { file: Rc<Qcow2File<S>>, view: Rc<View> },
}

impl Damage {
    pub(crate) fn problems(&self) -> impl Iterator<Item = Problem> {
        self.head.iter().cloned().chain(self.snapshots.map(Problem::from))
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
    /// A request begins that reads tables, or what they point to: until it ends, they stay as they are, and what is
    /// unlinked is not used again. Waits only for a change of the tables as a whole.
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

    /// Resolves the run at `start`, of at most `limit` bytes, which is not 0, without waiting; the caller keeps within
    /// the disk.
    #[inline]
    pub(crate) fn resolve(&self, start: GuestOffset, limit: u64) -> Attempt<Run> {
        match self {
            Self::Raw(_) => Ok(Run::raw(HostOffset(start.0), limit)),
            Self::Qcow2 { file, view } => file.tables.resolve(file.files.image.id(), view.l1(), start, limit),
        }
    }

    /// Completes the lookup whose first attempt returned `first`: see [`Tables::run`].
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

    /// Resolves the run at `start`, as long as possible, loading the tables that it needs.
    pub(crate) async fn run_at(&self, start: GuestOffset, limit: u64) -> Result<Run, Error<S::Error>> {
        self.run(start, limit, self.resolve(start, limit)).await
    }

    /// How far `offset` is into its cluster; 0 for a raw file, which has none.
    pub(crate) fn offset_in_cluster(&self, offset: GuestOffset) -> usize {
        match self {
            Self::Raw(_) => 0,
            // Less than a cluster, hence than 2 MiB.
            Self::Qcow2 { file, .. } => {
                usize::try_from(file.tables.geometry().offset_in_cluster(offset)).unwrap_or(usize::MAX)
            }
        }
    }

    /// Fills `buf` with the data at `place`, which shows at `guest`: both of one run.
    pub(crate) async fn read_data(
        &self,
        guest: GuestOffset,
        place: HostOffset,
        buf: &mut [u8],
    ) -> Result<(), Error<S::Error>> {
        let file = match self {
            Self::Raw(file) => file,
            Self::Qcow2 { file, .. } => match &file.encrypted {
                None => file.files.data(),
                // On the heap, for it is large, and the future of a read is moved about.
                Some(encrypted) => return Box::pin(encrypted.read(file.files.data(), guest, place, buf)).await,
            },
        };
        file.read(place, buf).await.map_err(Error::Storage)
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
