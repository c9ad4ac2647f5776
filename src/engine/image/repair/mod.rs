//! Repairing an image.
//!
//! The order of the writes, with a barrier at each `|`. Until the switch, which is one write of the header, only flags
//! and an invalid recorded length of a LUKS header have changed:
//!
//! ```text
//! repaired tables after the end, COPIED flags cleared | new refcounts | the switch | COPIED flags set | marks
//! ```
//!
//! - [`mod@rewrite_tables`] repairs the tables. If no entry is corrupt, it has nothing to do.
//! - [`refcounts`] counts the references of the repaired image. If only refcounts are wrong, and their structure is
//!   valid, [`in_place`] sets them in place instead, and there is no switch.
//! - A wrong flag is cleared before the refcounts are right, and a missing flag is set afterwards.
//! - The marks (dirty, corrupt) are cleared last, once a check finds nothing.

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

use self::file_end::EndAllocator;
use self::in_place::{Which, clear_shared_flags, repair_flags, repair_refcounts};
use self::l2_entry::Policy;
use self::refcounts::{switching_fields, without_refcounts, write_structure};
use self::rewrite_tables::rewrite;
use super::Image;
use super::check::{CheckOptions, CheckReport, Finding, Verdict, check_subject};
use crate::image::check::luks_header::LuksArea;
use crate::image::check::subject::Subject;

/// The extent of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Frees leaked clusters, as `qemu-img check -r leaks`, and sets COPIED flags if nothing else is wrong. Does
    /// nothing if references may be hidden.
    Leaks,
    /// Repairs everything. `qemu-img check -r all` repairs less: it leaves entries that it cannot read, so that the
    /// image stays corrupt.
    All,
}

/// The options for repairing an image. Creating them does no I/O.
#[derive(Debug)]
pub struct RepairOptions<'a> {
    repair: Repair,
    accept_loss: bool,
    check: CheckOptions<'a>,
}

/// The result of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairReport {
    /// The report of a check before the repair.
    pub before: CheckReport,
    /// The report of a check after the repair; the same if there was nothing to repair.
    pub after: CheckReport,
}

impl<'a> RepairOptions<'a> {
    /// Repairs without data loss.
    pub fn new(repair: Repair) -> Self {
        Self { repair, accept_loss: false, check: CheckOptions::new() }
    }

    /// Also repairs with data loss, for [`Repair::All`]. Default false.
    ///
    /// The lost data cannot be read before the repair either: clusters of unknown position become zeros, snapshots
    /// without tables and corrupt bitmaps are dropped. This applies to the findings of a [`check`](crate::check())
    /// whose [`remedy`](crate::Finding::remedy) is [`Remedy::Loss`](crate::Remedy::Loss): ask the user first.
    #[must_use]
    pub fn accept_loss(self, accept_loss: bool) -> Self {
        Self { accept_loss, ..self }
    }

    /// Sets the options of the first check: the number of listed findings, and the progress callback.
    #[must_use]
    pub fn check(self, check: CheckOptions<'a>) -> Self {
        Self { check, ..self }
    }
}

/// Checks the image in `storage` as [`check`](crate::check()) does, and repairs it.
///
/// No other program may use the image meanwhile. A crash, a storage failure, or dropping the future leaves the image no
/// worse than it was, though the file may be longer. The next repair completes the work. Needs the memory of a check,
/// and 16 bytes for each L2 table.
pub async fn repair<S: StorageMut>(storage: &S, options: RepairOptions<'_>) -> Result<RepairReport, Error<S::Error>> {
    let file = HostFile::open(storage, FileId(0)).await.map_err(Error::Storage)?;
    repair_file(&file, options).await
}

impl<S: StorageMut> Image<S> {
    /// Flushes and repairs the image, as [`repair`] does. It must be open for writing.
    ///
    /// Afterwards the handle cannot write any more ([`Misuse::Poisoned`]): open the image again. Waits for the running
    /// requests.
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
        Repair::All if repair_header(&subject).await? => {
            let subject = Subject::read(file).await?;
            let rest = check_subject(&subject, &mut CheckOptions::new().max_findings(0)).await?;
            repair_all(&subject, &rest, accept_loss).await?;
        }
        Repair::All => repair_all(&subject, &before, accept_loss).await?,
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

/// Clears the autoclear features that this crate does not know, which must happen before any other write.
async fn clear_unknown_features<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    let features = subject.raw.autoclear_features;
    let known = features & feature::KNOWN_AUTOCLEAR;
    if known != features {
        let offset = HostOffset(field::AUTOCLEAR_FEATURES);
        subject.file.write(offset, &known.to_be_bytes()).await.map_err(Error::Storage)?;
        subject.file.flush().await.map_err(Error::Storage)?;
    }
    Ok(())
}

/// Repairs the problems of the header. Returns whether there were any. Each write is within a sector.
async fn repair_header<S: StorageMut>(subject: &Subject<'_, S>) -> Result<bool, Error<S::Error>> {
    let mut repaired = repair_luks_length(subject).await?;
    for finding in &subject.findings {
        let (offset, bytes) = match finding {
            // The length follows the type.
            Finding::ExtensionEnd { offset, .. } => (offset + 4, Vec::from([0; 4])),
            Finding::RawWithoutDataFile { features } => {
                (field::AUTOCLEAR_FEATURES, Vec::from((features & !feature::RAW_DATA_FILE).to_be_bytes()))
            }
            // The type is the first field of the record.
            Finding::UnusedCryptoHeader { offset } => (offset - RECORD_HEADER, Vec::from(SKIPPED.to_be_bytes())),
            _ => continue,
        };
        subject.file.write(HostOffset(offset), &bytes).await.map_err(Error::Storage)?;
        repaired = true;
    }
    subject.file.flush().await.map_err(Error::Storage)?;
    Ok(repaired)
}

/// Corrects the recorded length of the LUKS header if it reaches past the end of the file. Returns whether it did.
async fn repair_luks_length<S: StorageMut>(subject: &Subject<'_, S>) -> Result<bool, Error<S::Error>> {
    let Some(LuksArea { source, recorded, own_length: Some(length @ 1..) }) = LuksArea::read(subject).await? else {
        return Ok(false);
    };
    // The file may be truncated.
    if subject.area(HostOffset(recorded.offset), length).is_none() {
        return Ok(false);
    }
    // The length is recorded after the offset.
    subject.file.write(source.plus(8), &length.to_be_bytes()).await.map_err(Error::Storage)?;
    subject.file.flush().await.map_err(Error::Storage)?;
    Ok(true)
}

async fn free_leaks<S: StorageMut>(subject: &Subject<'_, S>, report: &CheckReport) -> Result<(), Error<S::Error>> {
    if report.check_errors > 0 || report.hides_references || report.needs_rebuild {
        return Ok(());
    }
    if report.leaks > 0 {
        repair_refcounts(subject, Which::TooHigh).await?;
    }
    let only_leaks = !report.has_bad_entries && !report.has_low_counts;
    if only_leaks && (report.leaks > 0 || report.corruptions > 0) { repair_flags(subject).await } else { Ok(()) }
}

async fn repair_all<S: StorageMut>(
    subject: &Subject<'_, S>,
    report: &CheckReport,
    accept_loss: bool,
) -> Result<(), Error<S::Error>> {
    let unreadable_snapshots = report.check_errors > 0 && report.image_end_offset == 0;
    if report.check_errors + report.corruptions + report.leaks == 0 || (unreadable_snapshots && !accept_loss) {
        return Ok(());
    }
    let policy = Policy { accept_loss, without_zero_flags: false, has_backing_file: subject.has_backing_file() };
    let (raw, allocator) = if report.corruptions + report.check_errors > 0 {
        rewrite(subject, policy).await?
    } else {
        (subject.raw.clone(), EndAllocator::new(subject.clusters()))
    };
    if raw == subject.raw && !report.needs_rebuild {
        clear_shared_flags(subject).await?;
        repair_refcounts(subject, Which::All).await?;
        return repair_flags(subject).await;
    }
    let repaired = subject.with_header(raw);
    clear_shared_flags(&repaired.with_header(without_refcounts(&repaired.raw))).await?;
    let raw = write_structure(&repaired, &allocator, repaired.raw.version >= 3).await?;
    switch(&repaired.with_header(raw)).await
}

/// Sets the COPIED flags of an image whose refcounts are right.
pub(super) async fn set_copied_flags<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    repair_flags(subject).await
}

/// Switches the file to the header of `subject`.
async fn switch<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    subject.file.flush().await.map_err(Error::Storage)?;
    let (offset, fields) = switching_fields(&subject.raw);
    subject.file.write(offset, &fields).await.map_err(Error::Storage)?;
    subject.file.flush().await.map_err(Error::Storage)?;
    repair_flags(subject).await
}

async fn clear_marks<S: StorageMut>(subject: &Subject<'_, S>) -> Result<(), Error<S::Error>> {
    let features = subject.raw.incompatible_features;
    let cleared = features & !(feature::DIRTY | feature::CORRUPT);
    if cleared != features {
        let offset = HostOffset(field::INCOMPATIBLE_FEATURES);
        subject.file.write(offset, &cleared.to_be_bytes()).await.map_err(Error::Storage)?;
        subject.file.flush().await.map_err(Error::Storage)?;
    }
    Ok(())
}
