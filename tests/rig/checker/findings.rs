//! What is said of an image that was checked.

use std::fmt;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Counts that are higher than the references: how many clusters.
    pub leaks: u64,
    /// Clusters past the end of the file that are counted; QEMU doesn't look there.
    pub leaks_past_end: u64,
    /// Everything else that is wrong.
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    Header(&'static str),
    /// An entry, or the header, points there.
    Unaligned {
        what: &'static str,
        offset: u64,
    },
    PastEnd {
        what: &'static str,
        offset: u64,
    },
    Reserved {
        entry: u64,
    },
    /// A cluster that is both.
    Overlap {
        cluster: u64,
        one: Use,
        other: Use,
    },
    TooLow {
        cluster: u64,
        count: u64,
        references: u64,
    },
    Copied {
        entry: u64,
        count: u64,
    },
    Subclusters {
        bitmap: u64,
    },
}

/// What a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Nothing,
    Header,
    RefcountTable,
    RefcountBlock,
    L1,
    SnapshotTable,
    LuksHeader,
    /// An L2 table; a snapshot may share it.
    L2,
    Data,
    Compressed,
}

impl Findings {
    /// As the exit code of `qemu-img check`.
    pub fn exit_code(&self) -> i32 {
        match (self.problems.is_empty(), self.leaks) {
            (false, _) => 2,
            (true, 1..) => 3,
            (true, 0) => 0,
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leaks and {} past the end", self.leaks, self.leaks_past_end)?;
        write!(f, ", {} problems", self.problems.len())?;
        self.problems.iter().take(5).try_for_each(|problem| write!(f, "; {problem:?}"))
    }
}
