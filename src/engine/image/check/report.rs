//! The report of a check: the numbers of `qemu-img check`, and the findings.

use alloc::vec::Vec;

use super::finding::Finding;
use super::options::CheckOptions;
use super::severity::{Remedy, Severity};

/// The result of a check: the numbers of `qemu-img check`, and the findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the flags are independent")]
pub struct CheckReport {
    /// The number of leaked clusters.
    pub leaks: u64,
    /// The number of corruptions.
    pub corruptions: u64,
    /// The number of check errors. If there are any, the other numbers may be too low.
    pub check_errors: u64,
    /// The number of clusters of the disk.
    pub total_clusters: u64,
    /// The number of allocated clusters.
    pub allocated_clusters: u64,
    /// How many of those do not follow their predecessor in the file. Compressed clusters never do.
    pub fragmented_clusters: u64,
    /// The number of compressed clusters.
    pub compressed_clusters: u64,
    /// The end of the last cluster in use, in bytes of the file; 0 if it is unknown.
    pub image_end_offset: u64,
    /// The first [`CheckOptions::max_findings`] findings.
    pub findings: Vec<Finding>,
    /// The number of findings that are not listed.
    pub unlisted: u64,
    /// The number of findings whose repair loses data: see [`Remedy::Loss`].
    pub lossy: u64,
    /// Whether the image was not closed properly.
    pub is_dirty: bool,
    /// Whether the image is marked as corrupt.
    pub is_marked_corrupt: bool,
    /// Whether clusters may be in use without a reference that the check could find.
    pub(in crate::image) hides_references: bool,
    /// Whether the refcount structure cannot be repaired in place.
    pub(in crate::image) needs_rebuild: bool,
    /// Whether there are problems other than refcounts and flags.
    pub(in crate::image) has_bad_entries: bool,
    /// Whether a refcount is too low.
    pub(in crate::image) has_low_counts: bool,
}

/// The summary of a [`CheckReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are no findings.
    Clean,
    /// There are leaks, but nothing worse.
    Leaks,
    /// The image is corrupt.
    Corrupt,
    /// Not everything could be checked.
    Incomplete,
}

impl CheckReport {
    /// Returns the summary of the report.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self { check_errors: 1.., .. } => Verdict::Incomplete,
            Self { corruptions: 1.., .. } => Verdict::Corrupt,
            Self { leaks: 1.., .. } => Verdict::Leaks,
            _ => Verdict::Clean,
        }
    }

    /// Counts a finding, and lists it unless the limit of `options` is reached.
    pub(super) fn add(&mut self, finding: Finding, options: &CheckOptions<'_>) {
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
        if self.findings.len() < options.listed() {
            self.findings.push(finding);
        } else {
            self.unlisted += 1;
        }
    }

    pub(super) fn count_allocated(&mut self, fragmented: bool) {
        self.allocated_clusters += 1;
        self.fragmented_clusters += u64::from(fragmented);
    }

    pub(super) fn count_compressed(&mut self) {
        self.allocated_clusters += 1;
        self.compressed_clusters += 1;
        self.fragmented_clusters += 1;
    }
}

impl Verdict {
    /// Returns the exit code of `qemu-img check`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Incomplete => 1,
            Self::Corrupt => 2,
            Self::Leaks => 3,
        }
    }
}
