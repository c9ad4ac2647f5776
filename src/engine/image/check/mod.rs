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
//! references and of what is wrong with the entries, [`mod@examine`] compares.

pub(super) mod bitmaps;
mod display;
mod examine;
mod finding;
pub(super) mod luks_header;
mod options;
pub(super) mod refcounts;
pub(super) mod references;
mod report;
mod severity;
pub(super) mod sink;
pub(super) mod snapshots;
pub(super) mod subject;
mod table_reader;
pub(super) mod walk;

pub use finding::Finding;
pub use options::{CheckOptions, Progress};
pub use report::{CheckReport, Verdict};
pub use severity::{Remedy, Severity};

use self::examine::examine;
use self::snapshots::SnapshotTables;
use self::subject::Subject;
use super::Image;
use crate::error::Error;
use crate::format::header::feature;
use crate::meta::host_file::{FileId, HostFile};
use crate::storage::{Storage, StorageMut};

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
