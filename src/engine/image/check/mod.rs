//! Checking an image: whether its reference counts, its flags and its tables agree.
//!
//! Everything that refers to clusters is walked over (the header, both levels of the mapping, those of each snapshot,
//! the refcount structure, bitmaps), and what it refers to is counted; then the counts are compared with those in the
//! file. The findings and their numbers are those of `qemu-img check`, but where a finding's documentation says so.
//!
//! Memory doesn't grow with the image: see [`references`] for the counts. Beside them a check holds
//! the refcount table (at most 8 MiB), one bit a cluster, one table, and the findings that are listed. Tables are read
//! past the cache, for a check needs each once.
//!
//! The parts: [`subject`] is an image that need not open otherwise, [`walk`] tells of all
//! references and of what is wrong with the entries, [`examination`] compares.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::ControlFlow;

pub(super) mod bitmaps;
mod display;
mod examine;
mod finding;
pub(super) mod luks_header;
pub(super) mod refcounts;
pub(super) mod references;
mod severity;
pub(super) mod snapshots;
pub(super) mod subject;
mod table_reader;
pub(super) mod walk;

pub use finding::Finding;
pub use severity::{Remedy, Severity};

use self::examine::examine;
use self::snapshots::SnapshotTables;
use self::subject::Subject;
use super::Image;
use crate::error::{Error, Misuse};
use crate::format::header::feature;
use crate::meta::host_file::{FileId, HostFile};
use crate::storage::{Storage, StorageMut};

/// How many findings are listed, unless the options say otherwise.
const DEFAULT_MAX_FINDINGS: usize = 1000;

/// How to check an image. Making it does no I/O.
pub struct CheckOptions<'a> {
    max_findings: usize,
    on_progress: Option<Box<dyn FnMut(Progress) -> ControlFlow<()> + 'a>>,
}

/// How far a long operation has come: `done` of `total`, in a unit of its own. The total may grow on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// How much there is to do, as far as is known; 0 where there is nothing.
    pub total: u64,
}

/// What a check came to: the numbers of `qemu-img check`, and the findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub struct CheckReport {
    /// Clusters that are lost space.
    pub leaks: u64,
    /// What is wrong otherwise.
    pub corruptions: u64,
    /// What could not be checked. Where there are any, the other numbers may be too low.
    pub check_errors: u64,
    /// How many clusters the disk has.
    pub total_clusters: u64,
    /// How many of them are allocated.
    pub allocated_clusters: u64,
    /// How many of those don't follow the one before in the file; compressed ones never do.
    pub fragmented_clusters: u64,
    /// How many of the allocated ones are compressed.
    pub compressed_clusters: u64,
    /// Where the last cluster ends that is in use, in bytes of the file; 0 where it wasn't found out.
    pub image_end_offset: u64,
    /// The findings, the first [`CheckOptions::max_findings`] of them.
    pub findings: Vec<Finding>,
    /// How many findings are not listed.
    pub unlisted: u64,
    /// How many findings can be repaired only with a loss: see [`Remedy::Loss`].
    pub lossy: u64,
    /// The image was not closed properly.
    pub is_dirty: bool,
    /// The image is marked as corrupt.
    pub is_marked_corrupt: bool,
    /// Something may be in use that no reference was found to.
    pub(super) hides_references: bool,
    /// The refcount structure can't be mended in place.
    pub(super) needs_rebuild: bool,
    /// Something else is wrong than counts and flags.
    pub(super) has_bad_entries: bool,
    /// A count is too low.
    pub(super) has_low_counts: bool,
}

/// A [`CheckReport`] in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was found.
    Clean,
    /// Space is lost, nothing else.
    Leaks,
    /// Something is corrupt.
    Corrupt,
    /// Not everything could be checked.
    Incomplete,
}

impl<'a> CheckOptions<'a> {
    /// Lists up to 1000 findings, and tells nobody how far it is.
    pub fn new() -> Self {
        Self { max_findings: DEFAULT_MAX_FINDINGS, on_progress: None }
    }

    /// Bounds how many findings are listed; all are counted. Default 1000.
    #[must_use]
    pub fn max_findings(self, max_findings: usize) -> Self {
        Self { max_findings, ..self }
    }

    /// Sets who is told, many times, how far the check is. [`ControlFlow::Break`] ends it with
    /// [`Misuse::Cancelled`].
    #[must_use]
    pub fn on_progress(self, on_progress: impl FnMut(Progress) -> ControlFlow<()> + 'a) -> Self {
        Self { on_progress: Some(Box::new(on_progress)), ..self }
    }

    /// How many findings are listed.
    pub(super) fn listed(&self) -> usize {
        self.max_findings
    }

    fn report_progress(&mut self, progress: Progress) -> Result<(), Misuse> {
        match self.on_progress.as_mut().map(|told| told(progress)) {
            Some(ControlFlow::Break(())) => Err(Misuse::Cancelled),
            Some(ControlFlow::Continue(())) | None => Ok(()),
        }
    }
}

impl Default for CheckOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CheckOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckOptions").field("max_findings", &self.max_findings).finish_non_exhaustive()
    }
}

/// Checks the image in `storage`, which need not open otherwise: one that is dirty, marked as corrupt, without
/// reference counts or with a broken snapshot table will do. Nothing is written.
///
/// Fails where the storage does, and where the header is so broken that nothing can be said ([`Error::Corrupt`],
/// [`Error::Unsupported`]); all else is a finding. Encryption, backing files and data files don't matter, and need not be
/// supplied. Nobody may write to the image meanwhile: for one that is open, see [`Image::check`]. Dropping the future has
/// no effect.
pub async fn check<S: Storage>(storage: &S, options: CheckOptions<'_>) -> Result<CheckReport, Error<S::Error>> {
    let file = HostFile::open(storage, FileId(0)).await.map_err(Error::Storage)?;
    check_file(&file, options).await
}

impl<S: StorageMut> Image<S> {
    /// Checks the image, as [`check`] does.
    ///
    /// Where it is open for writing, it is flushed before, and no cluster is allocated meanwhile; what requests under way
    /// have allocated, and not linked yet, shows as a leak.
    pub async fn check(&self, options: CheckOptions<'_>) -> Result<CheckReport, Error<S::Error>> {
        let file = &self.top.files.image;
        if self.top.writeback.get().is_none() {
            return check_file(file, options).await;
        }
        self.close().await?;
        let _guard = self.writable()?.lock.acquire().await;
        check_file(file, options).await
    }
}

pub(super) async fn check_file<S: Storage>(
    file: &HostFile<S>,
    mut options: CheckOptions<'_>,
) -> Result<CheckReport, Error<S::Error>> {
    let subject = Subject::read(file).await?;
    check_subject(&subject, &mut options).await
}

pub(super) async fn check_subject<S: Storage>(
    subject: &Subject<'_, S>,
    options: &mut CheckOptions<'_>,
) -> Result<CheckReport, Error<S::Error>> {
    let has = |feature| subject.raw.incompatible_features & feature != 0;
    let mut report = CheckReport {
        is_dirty: has(feature::DIRTY),
        is_marked_corrupt: has(feature::CORRUPT),
        ..CheckReport::default()
    };
    let snapshots = SnapshotTables::read(subject).await?;
    for finding in subject.findings.iter().chain(&snapshots.findings) {
        report.add(*finding, options);
    }
    // Without the snapshots all that they alone refer to would look lost.
    if report.check_errors == 0 {
        report.total_clusters = subject.disk_clusters();
        report.image_end_offset = subject.geometry.cluster_size();
        examine(subject, &snapshots, options, &mut report).await?;
    }
    Ok(report)
}

impl CheckReport {
    /// All in a word.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self { check_errors: 1.., .. } => Verdict::Incomplete,
            Self { corruptions: 1.., .. } => Verdict::Corrupt,
            Self { leaks: 1.., .. } => Verdict::Leaks,
            _ => Verdict::Clean,
        }
    }

    fn add(&mut self, finding: Finding, options: &CheckOptions<'_>) {
        let weight = finding.weight();
        match finding.severity() {
            Severity::Leak => self.leaks += weight,
            Severity::Corruption => self.corruptions += weight,
            Severity::CheckError => self.check_errors += weight,
        }
        self.lossy += u64::from(finding.remedy() == Remedy::Loss);
        self.hides_references |= finding.hides_references();
        self.needs_rebuild |= finding.needs_rebuild();
        self.has_low_counts |= matches!(finding, Finding::CountTooLow { .. });
        self.has_bad_entries |= !finding.is_of_counts();
        if self.findings.len() < options.max_findings {
            self.findings.push(finding);
        } else {
            self.unlisted += 1;
        }
    }

    fn count_allocated(&mut self, fragmented: bool) {
        self.allocated_clusters += 1;
        self.fragmented_clusters += u64::from(fragmented);
    }

    fn count_compressed(&mut self) {
        self.allocated_clusters += 1;
        self.compressed_clusters += 1;
        self.fragmented_clusters += 1;
    }
}

impl Verdict {
    /// The exit code of `qemu-img check`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Incomplete => 1,
            Self::Corrupt => 2,
            Self::Leaks => 3,
        }
    }
}
