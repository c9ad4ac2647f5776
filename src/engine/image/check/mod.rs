//! Checking an image: whether its refcounts, its flags and its tables agree.
//!
//! A check walks over everything that refers to clusters (the header, both levels of the mapping, those of each
//! snapshot, the refcount structure, bitmaps), counts the references, and compares them with the refcounts in the file.
//! The findings and their numbers are those of `qemu-img check`, unless a finding's documentation describes a difference.
//!
//! Memory does not grow with the image: see [`references`] for the counted references. A check also holds the refcount
//! table (at most 8 MiB), one bit per cluster, one table, and the listed findings. It bypasses the cache, because it
//! reads each table once.
//!
//! [`subject`] is the image, which need not be openable otherwise. [`walk`] reports all references and corrupt entries.
//! [`mod@examine`] compares.

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

/// Checks the image in `storage`, without writing to it.
///
/// The image need not be openable: it may be dirty, marked as corrupt, without refcounts or with a corrupt snapshot
/// table.
///
/// Fails if the storage fails, and if the header is so corrupt that nothing can be checked ([`Error::Corrupt`],
/// [`Error::Unsupported`]); everything else is a finding. Encryption, backing files and data files do not matter, and
/// need not be supplied. No program may write to the image meanwhile: for an open image, see [`Image::check`]. Dropping
/// the future has no effect.
pub async fn check<S: Storage>(storage: &S, options: CheckOptions<'_>) -> Result<CheckReport, Error<S::Error>> {
    let file = HostFile::open(storage, FileId(0)).await.map_err(Error::Storage)?;
    check_file(&file, options).await
}

impl<S: StorageMut> Image<S> {
    /// Checks the image, as [`check`] does.
    ///
    /// An image that is open for writing is flushed first, and no cluster is allocated meanwhile. Clusters that running
    /// requests have allocated but not linked yet are reported as leaked.
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
    // Without the snapshots, everything that only they refer to would look leaked.
    if report.check_errors == 0 {
        report.total_clusters = subject.disk_clusters();
        report.image_end_offset = subject.geometry.cluster_size();
        examine(subject, &snapshots, options, &mut report).await?;
    }
    Ok(report)
}
