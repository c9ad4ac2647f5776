//! What is asked of a machine, and what comes of it.

use std::fmt;
use std::ops::Range;

use super::{Change, Landing};

/// How many requests there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub reads: u64,
    pub writes: u64,
    pub flushes: u64,
    /// Writes, flushes and changes of the size.
    pub changes: u64,
    pub bytes_written: u64,
}

/// A request that fails, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The read of that number.
    Read(u64),
    /// The write, flush or change of size of that number; a write changes so much all the same.
    Change(u64, Landing),
    /// The next of them to be carried out.
    NextChange(Landing),
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The test wanted it.
    Injected,
    NoSpace,
    PastEnd,
}

/// What happened to the files, in order.
#[derive(Clone, Debug)]
pub enum Event {
    Asked {
        id: u64,
        file: usize,
        change: Change,
    },
    /// The change is in the file, or those of its sectors that landed.
    Done {
        id: u64,
        landed: Landing,
    },
    /// The same, of a change that was dropped.
    Settled {
        id: u64,
        landed: Landing,
    },
    FlushAsked {
        id: u64,
        file: usize,
    },
    FlushDone {
        id: u64,
    },
    /// Of the test.
    Note(usize),
}

#[derive(Clone, Debug)]
pub enum Request {
    Read { file: usize, range: Range<u64> },
    Change { file: usize, change: Change },
    Flush { file: usize },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Injected => "a fault made by the test",
            Self::NoSpace => "no space left",
            Self::PastEnd => "past the end",
        })
    }
}

impl std::error::Error for Failure {}
