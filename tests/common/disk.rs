//! The storage of the tests: over memory, a file or holes; at once, later, or when the test says.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;
use std::task::{Poll, Waker};

use qcow2_web::Storage;

use super::index;

/// A storage that notes every read. Cheap to clone: the clones are one storage.
#[derive(Clone)]
pub struct Disk(Rc<State>);

struct State {
    source: Source,
    timing: Timing,
    reads: RefCell<Vec<Range<u64>>>,
    fails_at: Cell<Option<usize>>,
}

enum Source {
    Memory(Vec<u8>),
    File(File),
    /// Zeros of that length, but for some pieces.
    Sparse(u64, BTreeMap<u64, Vec<u8>>),
}

enum Timing {
    AtOnce,
    /// Pending that many times, waking itself each time.
    Later(u32),
    /// When the stage lets it go.
    Held(Stage),
}

impl Disk {
    pub fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Source::Memory(bytes.into()), Timing::AtOnce)
    }

    /// `bytes` from a storage that is never ready at once.
    pub fn slow(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Source::Memory(bytes.into()), Timing::Later(2))
    }

    /// `bytes` from a storage whose reads complete when, and in the order that, `stage` says.
    pub fn held(bytes: impl Into<Vec<u8>>, stage: &Stage) -> Self {
        Self::new(Source::Memory(bytes.into()), Timing::Held(stage.clone()))
    }

    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::new(Source::File(open(path.as_ref())), Timing::AtOnce)
    }

    /// A file from a storage that is never ready at once.
    pub fn slow_file(path: impl AsRef<Path>) -> Self {
        Self::new(Source::File(open(path.as_ref())), Timing::Later(1))
    }

    pub fn sparse(length: u64, pieces: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Self {
        Self::new(Source::Sparse(length, pieces.into_iter().collect()), Timing::AtOnce)
    }

    fn new(source: Source, timing: Timing) -> Self {
        let (reads, fails_at) = (RefCell::default(), Cell::new(None));
        Self(Rc::new(State { source, timing, reads, fails_at }))
    }

    /// The reads so far, in the order of their beginning.
    pub fn reads(&self) -> Vec<Range<u64>> {
        self.0.reads.borrow().clone()
    }

    pub fn bytes_read(&self) -> u64 {
        self.0.reads.borrow().iter().map(|read| read.end - read.start).sum()
    }

    pub fn forget_reads(&self) {
        self.0.reads.borrow_mut().clear();
    }

    /// From now on the read that is `after` reads away fails, once.
    pub fn fail_after(&self, after: usize) {
        self.0.fails_at.set(Some(self.0.reads.borrow().len() + after));
    }

    /// How many hold this storage, this one included.
    pub fn holders(&self) -> usize {
        Rc::strong_count(&self.0)
    }

    pub fn length(&self) -> u64 {
        match &self.0.source {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::File(file) => file.metadata().expect("an open file has metadata").len(),
            Source::Sparse(length, _) => *length,
        }
    }

    fn fetch(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.length()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &self.0.source {
            Source::Memory(bytes) => buf.copy_from_slice(&bytes[index(offset)..][..buf.len()]),
            Source::File(file) => file.read_exact_at(buf, offset)?,
            Source::Sparse(_, pieces) => {
                buf.fill(0);
                for (start, piece) in pieces {
                    overlay(buf, offset, piece, *start);
                }
            }
        }
        Ok(())
    }
}

impl Storage for Disk {
    type Error = io::Error;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let number = self.0.reads.borrow().len();
        self.0.reads.borrow_mut().push(offset..offset.saturating_add(buf.len() as u64));
        match &self.0.timing {
            Timing::AtOnce => {}
            Timing::Later(times) => later(*times).await,
            Timing::Held(stage) => stage.turn(offset, buf.len() as u64).await,
        }
        if self.0.fails_at.get() == Some(number) {
            self.0.fails_at.set(None);
            return Err(io::Error::other("a fault made by the test"));
        }
        self.fetch(offset, buf)
    }

    async fn size(&self) -> io::Result<u64> {
        if let Timing::Later(times) = &self.0.timing {
            later(*times).await;
        }
        Ok(self.length())
    }
}

fn open(path: &Path) -> File {
    File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Copies the part of `piece`, which begins at `start`, that lies in `buf`, which begins at `offset`.
fn overlay(buf: &mut [u8], offset: u64, piece: &[u8], start: u64) {
    let from = start.max(offset);
    let to = (start + piece.len() as u64).min(offset + buf.len() as u64);
    if from < to {
        buf[index(from - offset)..index(to - offset)].copy_from_slice(&piece[index(from - start)..index(to - start)]);
    }
}

async fn later(mut times: u32) {
    poll_fn(|context| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Where held reads wait. The test lets them go one by one, in any order.
#[derive(Clone, Default)]
pub struct Stage(Rc<RefCell<StageState>>);

#[derive(Default)]
struct StageState {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    read: Range<u64>,
    released: bool,
    waker: Waker,
}

impl Stage {
    /// The reads that wait, oldest first: their numbers and what they read.
    pub fn waiting(&self) -> Vec<(u64, Range<u64>)> {
        let state = self.0.borrow();
        let waiting = state.waiting.iter().filter(|(_, waiting)| !waiting.released);
        waiting.map(|(number, waiting)| (*number, waiting.read.clone())).collect()
    }

    pub fn release(&self, number: u64) {
        let waker = {
            let mut state = self.0.borrow_mut();
            let waiting = state.waiting.get_mut(&number).expect("it waits");
            waiting.released = true;
            waiting.waker.clone()
        };
        waker.wake();
    }

    pub fn release_all(&self) {
        for (number, _) in self.waiting() {
            self.release(number);
        }
    }

    async fn turn(&self, offset: u64, length: u64) {
        let number = {
            let mut state = self.0.borrow_mut();
            state.next += 1;
            state.next
        };
        // Dropped with the read, wherever that happens.
        let place = Place { stage: self.clone(), number };
        poll_fn(|context| {
            let mut state = place.stage.0.borrow_mut();
            let waiting = state.waiting.entry(number).or_insert_with(|| Waiting {
                read: offset..offset.saturating_add(length),
                released: false,
                waker: context.waker().clone(),
            });
            waiting.waker.clone_from(context.waker());
            if waiting.released { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

struct Place {
    stage: Stage,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stage.0.borrow_mut().waiting.remove(&self.number);
    }
}
