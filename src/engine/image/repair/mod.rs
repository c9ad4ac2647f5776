//! Repairing an image.
//!
//! The order, a barrier at each `|`; until the switch, one write of the header, nothing of the image as it was has changed
//! but flags, and the recorded length of a LUKS header that can't be:
//!
//! ```text
//! mended tables behind the end, COPIED flags taken | a new refcount structure | the switch | flags given | marks
//! ```
//!
//! - [`mod@rewrite_tables`] mends the tables. Where no entry is broken, it has nothing to do.
//! - [`refcounts`] counts the references of the mended image anew. Where only counts are wrong, and the structure that
//!   holds them is sound, [`in_place`] sets them where they are instead, and there is no switch.
//! - A flag that shouldn't be there is taken before the counts are right, and one that is missing is given after it.
//! - The marks (dirty, corrupt) go last, once a check finds nothing.

use alloc::vec::Vec;

use crate::error::Error;
#[cfg(doc)]
use crate::error::Misuse;
use crate::field;
use crate::format::header::extension::{RECORD_HEADER, SKIPPED};
use crate::format::header::feature;
use crate::format::units::HostOffset;
use crate::meta::host_file::{FileId, HostFile};
use crate::storage::StorageMut;

pub(super) mod file_end;
mod in_place;
pub(super) mod l2_entry;
pub(super) mod refcounts;
pub(super) mod rewrite_tables;

use self::file_end::Behind;
use self::in_place::{Counts, mend_counts, mend_flags, take_flags};
use self::l2_entry::Policy;
use self::refcounts::{switching_fields, without_refcounts, write_structure};
use self::rewrite_tables::rewrite;
use super::Image;
use super::check::{CheckOptions, CheckReport, Finding, Verdict, check_subject};
use crate::image::check::luks_header::LuksArea;
use crate::image::check::subject::Subject;

/// What to repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Frees lost space, as `qemu-img check -r leaks`; and sets COPIED flags, where nothing else is wrong. Does nothing
    /// where references may have gone unseen.
    Leaks,
    /// Repairs everything, and more than `qemu-img check -r all`: that leaves entries that it can't read, and so an image
    /// that is corrupt still.
    All,
}

/// How to repair an image. Making it does no I/O.
#[derive(Debug)]
pub struct RepairOptions<'a> {
    repair: Repair,
    accept_loss: bool,
    check: CheckOptions<'a>,
}

/// What a repair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairReport {
    /// What a check found before.
    pub before: CheckReport,
    /// What a check finds now; the same where there was nothing to repair.
    pub after: CheckReport,
}

impl<'a> RepairOptions<'a> {
    /// Repairs that, and gives nothing up.
    pub fn new(repair: Repair) -> Self {
        Self { repair, accept_loss: false, check: CheckOptions::new() }
    }

    /// Also repairs what takes a loss, with [`Repair::All`]; default false. What is lost can't be read before either:
    /// clusters whose place is unknown become zeros, snapshots without tables and broken bitmaps are dropped. The
    /// findings of a [`check`](crate::check()) whose [`remedy`](crate::Finding::remedy) is
    /// [`Remedy::Loss`](crate::Remedy::Loss) are what this is about: ask before it.
    #[must_use]
    pub fn accept_loss(self, accept_loss: bool) -> Self {
        Self { accept_loss, ..self }
    }

    /// Sets how the image is checked first: how many findings are listed, and who is told how far it is.
    #[must_use]
    pub fn check(self, check: CheckOptions<'a>) -> Self {
        Self { check, ..self }
    }
}

/// Checks the image in `storage`, as [`check`](crate::check()) does, and repairs it.
///
/// Nobody else may use the image meanwhile. A crash, a failure of the storage, or dropping the future leaves the image no
/// worse than it was; the file may be longer. What is left then is repaired by the next repair. Takes memory as a check
/// does, and 16 bytes for each L2 table.
pub async fn repair<S: StorageMut>(storage: &S, options: RepairOptions<'_>) -> Result<RepairReport, Error<S::Error>> {
    let file = HostFile::open(storage, FileId(0)).await.map_err(Error::Storage)?;
    repair_file(&file, options).await
}

impl<S: StorageMut> Image<S> {
    /// Repairs the image, as [`repair`] does, flushed before. It has to be open for writing.
    ///
    /// The handle can't write any more then ([`Misuse::Poisoned`]): open the image again. Waits for the requests under
    /// way.
    pub async fn repair(&self, options: RepairOptions<'_>) -> Result<RepairReport, Error<S::Error>> {
        let writeback = self.writable()?;
        let _closed = writeback.gate.close().await;
        let _guard = writeback.lock.acquire().await;
        writeback.check_writable()?;
        writeback.drain(&self.top.files).await?;
        writeback.poison();
        let report = repair_file(&self.top.files.image, options).await;
        self.top.tables.cache().clear();
        report
    }
}

pub(super) async fn repair_file<S: StorageMut>(
    file: &HostFile<S>,
    options: RepairOptions<'_>,
) -> Result<RepairReport, Error<S::Error>> {
    let RepairOptions { repair, accept_loss, mut check } = options;
    let mut subject = Subject::read(file).await?;
    let before = check_subject(&subject, &mut check).await?;
    let is_marked = repair == Repair::All && (before.is_dirty || before.is_marked_corrupt);
    if before.verdict() != Verdict::Clean || is_marked {
        clear_unknown_features(&subject).await?;
        subject = Subject::read(file).await?;
    }
    match repair {
        Repair::Leaks => free_leaks(&subject, &before).await?,
        Repair::All if repair_head(&subject).await? => {
            let subject = Subject::read(file).await?;
            let rest = check_subject(&subject, &mut CheckOptions::new().max_findings(0)).await?;
            mend_all(&subject, &rest, accept_loss).await?;
        }
        Repair::All => mend_all(&subject, &before, accept_loss).await?,
    }
    let subject = Subject::read(file).await?;
    let mut again = CheckOptions::new().max_findings(check.listed());
    let mut after = check_subject(&subject, &mut again).await?;
    if repair == Repair::All && after.check_errors == 0 && after.corruptions == 0 {
        clear_marks(&subject).await?;
        (after.is_dirty, after.is_marked_corrupt) = (false, false);
    }
    Ok(RepairReport { before, after })
}

/// Clears the autoclear features that this crate doesn't know, as it has to before it writes anything else.
async fn clear_unknown_features<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    let features = subject.raw.autoclear_features;
    let known = features & feature::KNOWN_AUTOCLEAR;
    if known != features {
        let place = HostOffset(field::AUTOCLEAR_FEATURES);
        subject.file.write(place, &known.to_be_bytes()).await.map_err(Error::Storage)?;
        subject.file.flush().await.map_err(Error::Storage)?;
    }
    Ok(())
}

/// Repairs what is wrong with the head; whether anything was. Each write is within a sector.
async fn repair_head<S: StorageMut>(subject: &Subject<'_, S>) -> Result<bool, Error<S::Error>> {
    let mut repaired = mend_luks_length(subject).await?;
    for finding in &subject.findings {
        let (place, bytes) = match finding {
            // The length follows the type.
            Finding::ExtensionEnd { offset, .. } => (offset + 4, Vec::from([0; 4])),
            Finding::RawWithoutDataFile { features } => {
                (field::AUTOCLEAR_FEATURES, Vec::from((features & !feature::RAW_DATA_FILE).to_be_bytes()))
            }
            // The type comes first of the record.
            Finding::UnusedCryptoHeader { offset } => (offset - RECORD_HEADER, Vec::from(SKIPPED.to_be_bytes())),
            _ => continue,
        };
        subject.file.write(HostOffset(place), &bytes).await.map_err(Error::Storage)?;
        repaired = true;
    }
    subject.file.flush().await.map_err(Error::Storage)?;
    Ok(repaired)
}

/// Records how long the LUKS header is, where what is recorded reaches past the end of the file; whether it did.
async fn mend_luks_length<S: StorageMut>(subject: &Subject<'_, S>) -> Result<bool, Error<S::Error>> {
    let Some(LuksArea { place, recorded, own_length: Some(length @ 1..) }) = LuksArea::read(subject).await? else {
        return Ok(false);
    };
    // It may be that the file is cut off.
    if subject.area(HostOffset(recorded.offset), length).is_none() {
        return Ok(false);
    }
    // It is recorded behind the offset.
    subject.file.write(place.plus(8), &length.to_be_bytes()).await.map_err(Error::Storage)?;
    subject.file.flush().await.map_err(Error::Storage)?;
    Ok(true)
}

async fn free_leaks<S: StorageMut>(subject: &Subject<'_, S>, report: &CheckReport) -> Result<(), Error<S::Error>> {
    if report.check_errors > 0 || report.hides_references || report.needs_rebuild {
        return Ok(());
    }
    if report.leaks > 0 {
        mend_counts(subject, Counts::TooHigh).await?;
    }
    let only_leaks = !report.has_bad_entries && !report.has_low_counts;
    if only_leaks && (report.leaks > 0 || report.corruptions > 0) { mend_flags(subject).await } else { Ok(()) }
}

async fn mend_all<S: StorageMut>(
    subject: &Subject<'_, S>,
    report: &CheckReport,
    accept_loss: bool,
) -> Result<(), Error<S::Error>> {
    let unreadable_snapshots = report.check_errors > 0 && report.image_end_offset == 0;
    if report.check_errors + report.corruptions + report.leaks == 0 || (unreadable_snapshots && !accept_loss) {
        return Ok(());
    }
    let policy = Policy { accept_loss, without_zero_flags: false, has_backing_file: subject.has_backing_file() };
    let (raw, behind) = if report.corruptions + report.check_errors > 0 {
        rewrite(subject, policy).await?
    } else {
        (subject.raw.clone(), Behind::of(subject.clusters()))
    };
    if raw == subject.raw && !report.needs_rebuild {
        take_flags(subject).await?;
        mend_counts(subject, Counts::All).await?;
        return mend_flags(subject).await;
    }
    let mended = subject.with_header(raw);
    take_flags(&mended.with_header(without_refcounts(&mended.raw))).await?;
    let raw = write_structure(&mended, &behind, mended.raw.version >= 3).await?;
    switch(&mended.with_header(raw)).await
}

/// Sets the COPIED flags of an image whose counts are right.
pub(super) async fn give_flags<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    mend_flags(subject).await
}

/// Makes the header of `subject` the one in the file.
async fn switch<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    subject.file.flush().await.map_err(Error::Storage)?;
    let (place, fields) = switching_fields(&subject.raw);
    subject.file.write(place, &fields).await.map_err(Error::Storage)?;
    subject.file.flush().await.map_err(Error::Storage)?;
    mend_flags(subject).await
}

async fn clear_marks<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    let features = subject.raw.incompatible_features;
    let cleared = features & !(feature::DIRTY | feature::CORRUPT);
    if cleared != features {
        let place = HostOffset(field::INCOMPATIBLE_FEATURES);
        subject.file.write(place, &cleared.to_be_bytes()).await.map_err(Error::Storage)?;
        subject.file.flush().await.map_err(Error::Storage)?;
    }
    Ok(())
}
