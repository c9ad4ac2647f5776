//! What a check reports: the numbers of `qemu-img check`, and the findings.

use alloc::vec::Vec;

use super::finding::Finding;
use super::options::CheckOptions;
use super::severity::{Remedy, Severity};

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
    pub(in crate::image) hides_references: bool,
    /// The refcount structure can't be mended in place.
    pub(in crate::image) needs_rebuild: bool,
    /// Something else is wrong than counts and flags.
    pub(in crate::image) has_bad_entries: bool,
    /// A count is too low.
    pub(in crate::image) has_low_counts: bool,
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

    /// Counts a finding, and lists it unless as many are listed as `options` allow.
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
