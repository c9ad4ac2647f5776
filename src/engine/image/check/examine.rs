//! The check itself: compares the references of a walk with the refcounts, one window of the file at a time.

use alloc::vec::Vec;
use core::ops::Range;

use super::finding::Finding;
use super::options::{CheckOptions, Progress};
use super::refcounts::{BlockLocation, SingleRefcounts, StoredRefcounts};
use super::references::References;
use super::report::CheckReport;
use super::sink::{Owner, Reference, Referred, Sink};
use super::snapshots::SnapshotTables;
use super::subject::Subject;
use super::walk::{l1_entries, refcount_entry, walk};
use crate::error::Error;
use crate::format::l1::L1Entry;
use crate::format::l2::L2Entry;
use crate::format::l2_corruption::Target;
use crate::format::refcount::TABLE_OFFSET_MASK;
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// Checks `subject`, whose snapshot table can be read.
pub(in crate::image) async fn examine<S: Storage>(
    subject: &Subject<'_, S>,
    snapshots: &SnapshotTables,
    options: &mut CheckOptions<'_>,
    report: &mut CheckReport,
) -> Result<(), Error<S::Error>> {
    let limit = subject.clusters() + 1;
    let mut examination = Examination {
        subject,
        counts: StoredRefcounts::read(subject).await?,
        references: References::wide(0, 0),
        copied: None,
        everything: true,
        strays: Vec::new(),
        cut_off: CutOff::default(),
        table_is_counted: true,
        next_contiguous: None,
        pace: Pace { done: 0, total: l1_entries(subject, snapshots) },
        options,
        report,
    };
    let mut next = Some(0);
    while let Some(start) = next {
        examination.references = References::narrow(start, limit);
        let window = examination.references.window();
        examination.copied = Some(SingleRefcounts::read(subject, &mut examination.counts, window.clone()).await?);
        walk(subject, snapshots, &mut examination).await?;
        if examination.everything
            && let Some(finding) = examination.cut_off.finding(subject.file.size())
        {
            examination.report.add(finding, examination.options);
        }
        examination.everything = false;
        examination.copied = None;
        let next_referenced = examination.references.next();
        if examination.references.is_spilled() {
            examination.count_again(snapshots, window.clone()).await?;
        } else {
            examination.compare().await?;
        }
        // Clusters without references and refcounts can be skipped.
        let counted = examination.counts.next_counted(window.end);
        next = [next_referenced, counted].into_iter().flatten().filter(|cluster| *cluster < limit).min();
    }
    Ok(())
}

struct Examination<'a, 'o, S> {
    subject: &'a Subject<'a, S>,
    counts: StoredRefcounts,
    references: References,
    /// The refcounts that COPIED flags are checked against.
    copied: Option<SingleRefcounts>,
    /// Whether this is the first walk, which also reports corrupt entries.
    everything: bool,
    /// COPIED flags of clusters that the file does not have.
    strays: Vec<Stray>,
    /// Tables and guest clusters past the end of the file.
    cut_off: CutOff,
    /// Whether the refcount of the L2 table can be read.
    table_is_counted: bool,
    /// The host offset of the table's next cluster if there is no fragmentation.
    next_contiguous: Option<HostOffset>,
    pace: Pace,
    options: &'a mut CheckOptions<'o>,
    report: &'a mut CheckReport,
}

struct Pace {
    done: u64,
    total: u64,
}

/// References past the end of the file. A truncated file has one per missing cluster, so they are one finding.
#[derive(Default)]
struct CutOff {
    first: Option<Reference>,
    references: u64,
    lost: u64,
}

impl CutOff {
    fn add(&mut self, reference: Reference, lost: bool) {
        self.first.get_or_insert(reference);
        self.references += 1;
        self.lost += u64::from(lost);
    }

    fn finding(&self, file_size: u64) -> Option<Finding> {
        let Reference { source, start, length, .. } = self.first?;
        let (references, lost) = (self.references, self.lost);
        Some(if references == 1 {
            Finding::PastEnd { reference_offset: source.0, offset: start.0, length, lost: lost > 0 }
        } else {
            Finding::CutOff { reference_offset: source.0, file_size, references, lost }
        })
    }
}

struct Stray {
    cluster: u64,
    flag: bool,
    finding: Finding,
}

impl<S: Storage> Sink<S::Error> for Examination<'_, '_, S> {
    fn refer(&mut self, reference: Reference) {
        let Reference { source, start, length, what } = reference;
        let lost = matches!(what, Referred::Compressed | Referred::Bitmap | Referred::SnapshotL1);
        match self.subject.area(start, length) {
            Some(clusters) => self.references.add(clusters),
            None if matches!(what, Referred::L2Table | Referred::Data | Referred::Compressed) => {
                self.cut_off.add(reference, lost);
            }
            None => self.find(Finding::PastEnd { reference_offset: source.0, offset: start.0, length, lost }),
        }
    }

    fn find(&mut self, finding: Finding) {
        if self.everything {
            self.report.add(finding, self.options);
        }
    }

    async fn l1_entry(&mut self, owner: Owner, source: HostOffset, entry: L1Entry) -> Result<(), Error<S::Error>> {
        if owner != Owner::Active {
            return Ok(());
        }
        self.next_contiguous = None;
        // As in QEMU: if the refcount of the table is unknown, its entries are skipped.
        self.table_is_counted = !self.is_unreadable(self.subject.cluster_of(entry.offset()));
        let finding = Finding::L1Copied { entry_offset: source.0, table: entry.offset().0, flag: entry.is_copied() };
        self.check_flag(entry.offset(), entry.is_copied(), finding);
        Ok(())
    }

    fn l2_entry(&mut self, owner: Owner, source: HostOffset, entry: L2Entry, target: Target) {
        if owner != Owner::Active {
            return;
        }
        match target {
            Target::Compressed(_) if self.everything => self.report.count_compressed(),
            Target::Compressed(_) | Target::Nothing => {}
            Target::Cluster(cluster) => {
                if self.everything {
                    self.report.count_allocated(self.next_contiguous.is_some_and(|expected| expected != cluster));
                    self.next_contiguous = Some(cluster.plus(self.subject.geometry.cluster_size()));
                }
                if !self.table_is_counted {
                    return;
                }
                let flag = entry.has_copied_flag();
                let finding = Finding::L2Copied { entry_offset: source.0, cluster: cluster.0, flag };
                self.check_flag(cluster, flag, finding);
            }
        }
    }

    async fn end_of_table(&mut self) -> Result<(), Error<S::Error>> {
        for stray in core::mem::take(&mut self.strays) {
            let count = self.counts.count(self.subject, stray.cluster).await?;
            if count.is_some_and(|count| (count == 1) != stray.flag) {
                self.find(stray.finding);
            }
        }
        Ok(())
    }

    fn progress(&mut self, entries: u64) -> Result<(), Error<S::Error>> {
        self.pace.done += entries;
        self.pace.total = self.pace.total.max(self.pace.done);
        let Pace { done, total } = self.pace;
        Ok(self.options.report_progress(Progress { done, total })?)
    }
}

impl<S: Storage> Examination<'_, '_, S> {
    /// Compares the COPIED flag of an entry for `offset` with the refcount in the file.
    fn check_flag(&mut self, offset: HostOffset, flag: bool, finding: Finding) {
        if self.subject.has_data_file() && matches!(finding, Finding::L2Copied { .. }) {
            // A data file has no refcounts: every cluster belongs to its entry alone.
            if !flag {
                self.find(finding);
            }
            return;
        }
        let cluster = self.subject.cluster_of(offset);
        let Some(copied) = &self.copied else { return };
        if let Some(once) = copied.is_single(cluster) {
            if once != flag && !self.is_unreadable(cluster) {
                self.report.add(finding, self.options);
            }
        } else if self.everything && cluster > self.subject.clusters() {
            self.strays.push(Stray { cluster, flag, finding });
        }
    }

    fn is_unreadable(&self, cluster: u64) -> bool {
        matches!(self.counts.block_location(self.subject, self.counts.index_of(cluster)), BlockLocation::Unreadable(_))
    }

    /// Counts the references in `window` again, in narrow windows, and compares them with the refcounts.
    async fn count_again(&mut self, snapshots: &SnapshotTables, window: Range<u64>) -> Result<(), Error<S::Error>> {
        let mut start = window.start;
        while start < window.end {
            self.references = References::wide(start, window.end);
            walk(self.subject, snapshots, self).await?;
            start = self.references.window().end;
            self.compare().await?;
        }
        Ok(())
    }

    /// Adds the references to the refcount blocks, and compares the window with the refcounts.
    async fn compare(&mut self) -> Result<(), Error<S::Error>> {
        self.refer_to_blocks();
        let window = self.references.window();
        let first = self.counts.index_of(window.start);
        let last = self.counts.index_of(window.end - 1);
        for index in first..=last {
            let clusters = self.counts.clusters_of(index);
            let clusters = clusters.start.max(window.start)..clusters.end.min(window.end);
            self.compare_block(index, clusters).await?;
        }
        Ok(())
    }

    /// As in QEMU, in the order of the table: a block is shared if its cluster already has a reference.
    fn refer_to_blocks(&mut self) {
        const RESERVED: u64 = !TABLE_OFFSET_MASK;
        let (subject, window) = (self.subject, self.references.window());
        let size = subject.geometry.cluster_size();
        let is_first = window.start == 0;
        for (_, entry_location, entry) in self.counts.entries(subject) {
            let (entry_offset, block) = (entry_location.0, entry & TABLE_OFFSET_MASK);
            let cluster = subject.cluster_of(HostOffset(block));
            let finding = if entry & RESERVED != 0 {
                Finding::RefcountEntryReserved { entry_offset, entry }
            } else if !subject.geometry.is_cluster_aligned(block) {
                Finding::RefcountBlockUnaligned { entry_offset, block }
            } else if subject.area(HostOffset(block), size).is_none() {
                Finding::RefcountBlockPastEnd { entry_offset, block }
            } else if block != 0 && window.contains(&cluster) {
                self.references.add(cluster..cluster + 1);
                let references = self.references.count(cluster);
                if references.min(self.counts.width().max()) != 1 {
                    self.report.add(Finding::RefcountBlockShared { entry_offset, block, references }, self.options);
                }
                continue;
            } else {
                if block != 0 && cluster >= window.end {
                    self.references.add(cluster..cluster + 1);
                }
                continue;
            };
            if is_first {
                self.report.add(finding, self.options);
            }
        }
    }

    async fn compare_block(&mut self, index: usize, clusters: Range<u64>) -> Result<(), Error<S::Error>> {
        let (subject, limit) = (self.subject, self.counts.width().max());
        let location = self.counts.block_location(subject, index);
        if let BlockLocation::At(block) = location {
            self.counts.load(subject, index, block).await?;
        }
        let comparison = Comparison { subject, references: &self.references, limit };
        let Self { counts, report, options, .. } = self;
        match location {
            BlockLocation::Absent => clusters.for_each(|cluster| comparison.compare(cluster, 0, report, options)),
            BlockLocation::At(_) => {
                for (cluster, count) in counts.of_loaded_block(clusters) {
                    comparison.compare(cluster, count, report, options);
                }
            }
            BlockLocation::Unreadable(block) => {
                let entry_offset = refcount_entry(subject, index).0;
                clusters.clone().for_each(|cluster| comparison.check_overflow(cluster, report, options));
                let clusters = clusters.filter(|cluster| comparison.includes(*cluster)).count() as u64;
                if clusters > 0 {
                    report.add(Finding::CountsUnreadable { entry_offset, block: block.0, clusters }, options);
                }
            }
        }
        Ok(())
    }
}

/// The references of a window, for comparison with refcounts.
struct Comparison<'a, S> {
    subject: &'a Subject<'a, S>,
    references: &'a References,
    /// The largest possible refcount.
    limit: u64,
}

impl<S: Storage> Comparison<'_, S> {
    /// Whether `cluster` is checked. The one after the end of the file is, if a reference reaches into it.
    fn includes(&self, cluster: u64) -> bool {
        cluster < self.subject.clusters() || self.references.count(cluster) > 0
    }

    fn check_overflow(&self, cluster: u64, report: &mut CheckReport, options: &CheckOptions<'_>) {
        let (references, limit) = (self.references.count(cluster), self.limit);
        if references > limit {
            let offset = self.subject.offset_of(cluster).0;
            report.add(Finding::CountOverflow { offset, limit, references }, options);
        }
    }

    fn compare(&self, cluster: u64, count: u64, report: &mut CheckReport, options: &CheckOptions<'_>) {
        let references = self.references.count(cluster);
        if (count == 0 && references == 0) || !self.includes(cluster) {
            return;
        }
        report.image_end_offset = report.image_end_offset.max(self.subject.offset_of(cluster + 1).0);
        self.check_overflow(cluster, report, options);
        let offset = self.subject.offset_of(cluster).0;
        let references = references.min(self.limit);
        if count > references {
            report.add(Finding::Leaked { offset, count, references }, options);
        } else if count < references {
            report.add(Finding::CountTooLow { offset, count, references }, options);
        }
    }
}
