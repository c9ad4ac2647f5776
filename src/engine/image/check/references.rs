//! The numbers of references to clusters, counted in bounded memory.
//!
//! References are counted for one window of the file at a time, with one byte per cluster (32 MiB for 2 TiB with
//! default clusters) and a map for the few clusters with more references. If they are not few (an image with hundreds
//! of snapshots), the window is *spilled*: its numbers are unusable, and it has to be counted again in narrow windows
//! with wide numbers.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use hashbrown::HashMap;

/// The clusters that are counted at once: those of 2 TiB with default clusters, with their metadata.
const NARROW: u64 = (1 << 25) + (1 << 18);
const WIDE: u64 = 1 << 22;
/// The most clusters with more references than a byte can hold: about 9 MiB.
const MAX_MANY: usize = 1 << 18;
/// Marks a number that is in the map.
const MANY: u8 = u8::MAX;

/// The number of references to each cluster of a window.
pub(in crate::image) struct References {
    window: Range<u64>,
    counts: Counts,
    spilled: bool,
    /// The first cluster after the window that has a reference.
    next: Option<u64>,
}

enum Counts {
    Narrow { counts: Vec<u8>, many: HashMap<u64, u64> },
    Wide(Vec<u64>),
}

impl References {
    /// Counts the clusters from `start` of a file of `limit` clusters, as many as possible at once.
    pub(in crate::image) fn narrow(start: u64, limit: u64) -> Self {
        let window = start..limit.min(start + NARROW);
        let counts = Counts::Narrow { counts: vec![0; length(&window)], many: HashMap::new() };
        Self { window, counts, spilled: false, next: None }
    }

    /// As [`References::narrow`], for fewer clusters, but never spilled.
    pub(in crate::image) fn wide(start: u64, limit: u64) -> Self {
        let window = start..limit.min(start + WIDE);
        let counts = Counts::Wide(vec![0; length(&window)]);
        Self { window, counts, spilled: false, next: None }
    }

    pub(in crate::image) fn window(&self) -> Range<u64> {
        self.window.clone()
    }

    /// Whether the numbers are unusable.
    pub(in crate::image) fn is_spilled(&self) -> bool {
        self.spilled
    }

    /// Returns the first cluster after the window that has a reference.
    pub(in crate::image) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Adds a reference to each of `clusters`. Those outside the window are not counted.
    pub(in crate::image) fn add(&mut self, clusters: Range<u64>) {
        for cluster in clusters {
            if cluster >= self.window.end {
                self.next = Some(self.next.map_or(cluster, |next| next.min(cluster)));
            } else if let Some(index) = cluster.checked_sub(self.window.start) {
                self.add_one(cluster, usize::try_from(index).unwrap_or(usize::MAX));
            }
        }
    }

    fn add_one(&mut self, cluster: u64, index: usize) {
        match &mut self.counts {
            Counts::Wide(counts) => counts[index] = counts[index].saturating_add(1),
            Counts::Narrow { .. } if self.spilled => {}
            Counts::Narrow { counts, many } => {
                if counts[index] < MANY - 1 {
                    counts[index] += 1;
                } else if counts[index] == MANY || many.len() < MAX_MANY {
                    counts[index] = MANY;
                    *many.entry(cluster).or_insert(u64::from(MANY) - 1) += 1;
                } else {
                    self.spilled = true;
                }
            }
        }
    }

    /// Returns the number of references to a cluster of the window; 0 for others.
    pub(in crate::image) fn count(&self, cluster: u64) -> u64 {
        let index = cluster.checked_sub(self.window.start).and_then(|index| usize::try_from(index).ok());
        let Some(index) = index else { return 0 };
        match &self.counts {
            Counts::Wide(counts) => counts.get(index).copied().unwrap_or(0),
            Counts::Narrow { counts, many } => match counts.get(index) {
                Some(&MANY) => many.get(&cluster).copied().unwrap_or(MANY.into()),
                Some(&count) => count.into(),
                None => 0,
            },
        }
    }
}

/// The length of a window, which is at most [`NARROW`] clusters.
fn length(window: &Range<u64>) -> usize {
    usize::try_from(window.end.saturating_sub(window.start)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_past_a_byte() {
        let mut references = References::narrow(0, 10);
        for _ in 0..1000 {
            references.add(3..5);
        }
        references.add(3..4);
        assert_eq!([2, 3, 4, 5].map(|cluster| references.count(cluster)), [0, 1001, 1000, 0]);
        assert!(!references.is_spilled());
    }

    #[test]
    fn references_outside_the_window_are_not_counted() {
        let mut references = References::wide(5, 5 + 2 * WIDE);
        references.add(0..6);
        references.add(5 + WIDE..8 + WIDE);
        assert_eq!([0, 4, 5, 6].map(|cluster| references.count(cluster)), [0, 0, 1, 0]);
        assert_eq!(references.next(), Some(5 + WIDE));
    }

    #[test]
    fn too_many_clusters_with_many_references_spill() {
        let clusters = MAX_MANY as u64 + 1;
        let mut references = References::narrow(0, clusters);
        for _ in 0..255 {
            references.add(0..clusters);
        }
        assert!(references.is_spilled());
    }
}
