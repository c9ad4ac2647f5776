//! Entries of an L2 table, which map a cluster or its subclusters.
//!
//! A standard entry describes a cluster with one subcluster, and an extended one a cluster with 32. [`L2Entry::decode`]
//! turns both into a [`Cluster`].

use core::ops::Range;

use super::geometry::Geometry;
use super::units::HostOffset;

/// An L2 entry as stored: the first word, and the subcluster bitmap of an extended entry (else 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct L2Entry {
    pub(crate) word: u64,
    pub(crate) bitmap: u64,
}

/// A decoded L2 entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cluster {
    Compressed(CompressedSpan),
    Subclusters(Subclusters),
}

/// A cluster that is not compressed.
///
/// Bit i of each mask is subcluster i. The masks don't overlap. If `host` is `None`, `allocated` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subclusters {
    pub(crate) host: Option<HostOffset>,
    pub(crate) allocated: u32,
    pub(crate) zero: u32,
}

/// The source of a subcluster's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubclusterKind {
    /// The backing file.
    Unallocated,
    Zero,
    Data,
}

/// The location of the compressed bytes of a cluster.
///
/// The length is rounded up to the end of a sector. The stream, and the file, may end before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CompressedSpan {
    pub(crate) start: HostOffset,
    /// 1 to 2 × the cluster size.
    pub(crate) length: u64,
}

/// The reason why an entry can't be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadL2Entry {
    Unaligned(u64),
    ZeroInVersion2,
    Subclusters,
    CompressedWithDataFile,
}

/// The properties of an image that determine how its L2 entries are decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct L2Rules {
    pub(crate) geometry: Geometry,
    /// The zero flag is allowed: the image has version 3.
    pub(crate) zero_flag: bool,
    /// The image has an external data file: 0 is a valid offset, and clusters can't be compressed.
    pub(crate) data_file: bool,
}

impl L2Entry {
    const COPIED: u64 = 1 << 63;
    const COMPRESSED: u64 = 1 << 62;
    const ZERO: u64 = 1;
    const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
    const SECTOR: u64 = 512;

    /// Returns the entry for the cluster at `host`, with the COPIED flag and the masks of [`Subclusters`].
    pub(crate) fn copied(host: HostOffset, allocated: u32, zero: u32, geometry: Geometry) -> Self {
        Self::with_masks(host.0 | Self::COPIED, allocated, zero, geometry)
    }

    /// Returns an entry without a cluster. The subclusters in `zero` read as zeros, the others from the backing file.
    pub(crate) fn without_cluster(zero: u32, geometry: Geometry) -> Self {
        Self::with_masks(0, 0, zero, geometry)
    }

    /// Returns the entry with other masks.
    pub(crate) fn remasked(self, allocated: u32, zero: u32, geometry: Geometry) -> Self {
        Self::with_masks(self.word & !Self::ZERO, allocated, zero, geometry)
    }

    fn with_masks(word: u64, allocated: u32, zero: u32, geometry: Geometry) -> Self {
        if geometry.extended_l2() {
            Self { word, bitmap: u64::from(zero) << 32 | u64::from(allocated) }
        } else {
            Self { word: word | u64::from(zero) & Self::ZERO, bitmap: 0 }
        }
    }

    /// Returns the entry of a compressed cluster. The span must come from [`CompressedSpan::of_bytes`].
    pub(crate) fn compressed(span: CompressedSpan, geometry: Geometry) -> Self {
        let additional_sectors = (span.start.0 % Self::SECTOR + span.length).div_ceil(Self::SECTOR) - 1;
        let word = Self::COMPRESSED | additional_sectors << geometry.compressed_offset_bits() | span.start.0;
        Self { word, bitmap: 0 }
    }

    /// Parses `bytes`: 8, or 16 for an extended entry.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_be_bytes(*word));
        Self { word: words.next().unwrap_or(0), bitmap: words.next().unwrap_or(0) }
    }

    /// Writes the entry into `bytes`: 8, or 16 for an extended entry.
    pub(crate) fn to_bytes(self, bytes: &mut [u8]) {
        for (slot, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip([self.word, self.bitmap]) {
            *slot = word.to_be_bytes();
        }
    }

    /// Returns the entry without reserved bits, and without the flags and the bitmap that a compressed cluster can't have.
    pub(crate) fn without_reserved_bits(self) -> Self {
        if self.is_compressed() {
            Self { word: self.word & !Self::COPIED, bitmap: 0 }
        } else {
            Self { word: self.word & (Self::OFFSET | Self::COPIED | Self::ZERO), ..self }
        }
    }

    /// Returns the entry without the zero bits of allocated subclusters.
    pub(crate) fn without_zeros_where_allocated(self) -> Self {
        let (zero, allocated) = halves(self.bitmap);
        Self { bitmap: u64::from(zero & !allocated) << 32 | u64::from(allocated), ..self }
    }

    /// Returns the entry without its cluster. Allocated subclusters then read as zeros.
    pub(crate) fn as_zeros(self, geometry: Geometry) -> Self {
        let (zero, allocated) = halves(self.bitmap);
        Self::without_cluster(if geometry.extended_l2() { zero | allocated } else { 1 }, geometry)
    }

    /// Returns the entry with or without the COPIED flag.
    pub(crate) fn with_copied(self, copied: bool) -> Self {
        Self { word: if copied { self.word | Self::COPIED } else { self.word & !Self::COPIED }, ..self }
    }

    /// Returns the entry of an uncompressed cluster with another host cluster.
    pub(crate) fn with_host(self, host: HostOffset) -> Self {
        Self { word: self.word & !Self::OFFSET | host.0, ..self }
    }

    /// Returns whether the entry is COPIED: the refcount of the cluster is one, so it may be changed in place.
    pub(crate) fn is_copied(self) -> bool {
        self.word & (Self::COPIED | Self::COMPRESSED) == Self::COPIED
    }

    /// Returns the host cluster of an entry without reserved bits whose whole cluster is data.
    ///
    /// This is a fast path, because most entries are such entries. [`L2Entry::decode`] decodes them to the same.
    pub(crate) fn plain_host(self, rules: L2Rules) -> Option<HostOffset> {
        let whole = !rules.geometry.extended_l2() || self.bitmap == u64::from(u32::MAX);
        let offset = self.offset().0;
        let plain = self.word & !Self::COPIED == offset && offset != 0 && rules.geometry.is_cluster_aligned(offset);
        (whole && plain && !rules.data_file).then_some(HostOffset(offset))
    }

    /// Returns whether the entry is 0, so that the whole cluster reads from the backing file.
    ///
    /// [`L2Entry::decode`] decodes such entries to the same.
    pub(crate) fn is_empty(self) -> bool {
        self.word | self.bitmap == 0
    }

    /// Decodes the entry. Ignores reserved bits, and the bitmap of a compressed cluster, as QEMU does.
    pub(crate) fn decode(self, rules: L2Rules) -> Result<Cluster, BadL2Entry> {
        if self.is_compressed() {
            return self.decode_compressed(rules);
        }
        let offset = self.offset().0;
        if !rules.geometry.is_cluster_aligned(offset) {
            return Err(BadL2Entry::Unaligned(offset));
        }
        let has_host = offset != 0 || (rules.data_file && self.has_copied_flag());
        let host = has_host.then_some(HostOffset(offset));
        if rules.geometry.extended_l2() { self.decode_bitmap(host) } else { self.decode_standard(host, rules) }
    }

    fn decode_standard(self, host: Option<HostOffset>, rules: L2Rules) -> Result<Cluster, BadL2Entry> {
        let zero = self.has_zero_flag();
        if zero && !rules.zero_flag {
            return Err(BadL2Entry::ZeroInVersion2);
        }
        let allocated = host.is_some() && !zero;
        // A zero cluster at offset 0 has no host cluster, even in a data file. QEMU does the same.
        let host = host.filter(|host| !zero || host.0 != 0);
        Ok(Cluster::Subclusters(Subclusters { host, allocated: u32::from(allocated), zero: u32::from(zero) }))
    }

    fn decode_bitmap(self, host: Option<HostOffset>) -> Result<Cluster, BadL2Entry> {
        let (zero, allocated) = halves(self.bitmap);
        if zero & allocated != 0 || (host.is_none() && allocated != 0) {
            return Err(BadL2Entry::Subclusters);
        }
        Ok(Cluster::Subclusters(Subclusters { host, allocated, zero }))
    }

    fn decode_compressed(self, rules: L2Rules) -> Result<Cluster, BadL2Entry> {
        if rules.data_file {
            return Err(BadL2Entry::CompressedWithDataFile);
        }
        Ok(Cluster::Compressed(self.compressed_span(rules.geometry)))
    }

    /// Returns the location of the compressed bytes. The entry must be that of a compressed cluster.
    pub(crate) fn compressed_span(self, geometry: Geometry) -> CompressedSpan {
        let offset_bits = geometry.compressed_offset_bits();
        let descriptor = self.word & (Self::COMPRESSED - 1);
        let start = descriptor & ((1 << offset_bits) - 1);
        let additional_sectors = descriptor >> offset_bits;
        let length = (additional_sectors + 1) * Self::SECTOR - start % Self::SECTOR;
        CompressedSpan { start: HostOffset(start), length }
    }

    pub(crate) fn is_compressed(self) -> bool {
        self.word & Self::COMPRESSED != 0
    }

    /// Returns the COPIED flag as stored, whatever the kind of the entry.
    pub(crate) fn has_copied_flag(self) -> bool {
        self.word & Self::COPIED != 0
    }

    /// Returns the bit of the zero flag, which is reserved in extended entries.
    pub(crate) fn has_zero_flag(self) -> bool {
        self.word & Self::ZERO != 0
    }

    /// Returns the offset field of an uncompressed entry. Without a data file, 0 means that there is no host cluster.
    pub(crate) fn offset(self) -> HostOffset {
        HostOffset(self.word & Self::OFFSET)
    }
}

impl Cluster {
    /// Returns the host clusters whose refcounts include a reference from this entry.
    pub(crate) fn counted(self, rules: L2Rules) -> Range<u64> {
        match self {
            Self::Compressed(span) => span.clusters(rules.geometry),
            // Clusters of a data file have no refcounts.
            Self::Subclusters(_) if rules.data_file => 0..0,
            Self::Subclusters(subclusters) => subclusters.host.map_or(0..0, |host| {
                let cluster = host.0 >> rules.geometry.cluster_bits();
                cluster..cluster + 1
            }),
        }
    }
}

impl Subclusters {
    /// Returns the kind of subcluster `index`, and how many consecutive subclusters from there are of that kind.
    pub(crate) fn run_at(self, index: u32, subclusters: u32) -> (SubclusterKind, u32) {
        let allocated = self.allocated >> index;
        let zero = self.zero >> index;
        let (kind, others) = if allocated & 1 != 0 {
            (SubclusterKind::Data, !allocated)
        } else if zero & 1 != 0 {
            (SubclusterKind::Zero, !zero)
        } else {
            (SubclusterKind::Unallocated, allocated | zero)
        };
        (kind, others.trailing_zeros().min(subclusters - index))
    }
}

impl CompressedSpan {
    /// Returns the span of `length` bytes at `start`, rounded up to the end of a sector.
    pub(crate) fn of_bytes(start: HostOffset, length: u64) -> Self {
        let end = start.plus(length).0.next_multiple_of(L2Entry::SECTOR);
        Self { start, length: end - start.0 }
    }

    /// Returns the host clusters that contain the span. The refcount of each includes a reference for it.
    pub(crate) fn clusters(self, geometry: Geometry) -> Range<u64> {
        let bits = geometry.cluster_bits();
        self.start.0 >> bits..((self.end().0 - 1) >> bits) + 1
    }

    pub(crate) fn end(self) -> HostOffset {
        self.start.plus(self.length)
    }
}

/// Returns the high and the low 32 bits.
fn halves(bits: u64) -> (u32, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
    ((bits >> 32) as u32, bits as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(cluster_bits: u32, extended: bool) -> L2Rules {
        let geometry = Geometry::new(cluster_bits, extended).expect("in range");
        L2Rules { geometry, zero_flag: true, data_file: false }
    }

    fn standard(word: u64) -> L2Entry {
        L2Entry { word, bitmap: 0 }
    }

    #[test]
    fn offset_zero_is_unallocated_without_a_data_file() {
        let nothing = Cluster::Subclusters(Subclusters { host: None, allocated: 0, zero: 0 });
        assert_eq!(standard(L2Entry::COPIED).decode(rules(16, false)), Ok(nothing));
        let with_data_file = L2Rules { data_file: true, ..rules(16, false) };
        let first = Cluster::Subclusters(Subclusters { host: Some(HostOffset(0)), allocated: 1, zero: 0 });
        assert_eq!(standard(L2Entry::COPIED).decode(with_data_file), Ok(first));
        assert_eq!(standard(0).decode(with_data_file), Ok(nothing));
    }

    #[test]
    fn the_span_of_a_compressed_cluster() {
        // 64 KiB clusters: 54 bits of offset, then the additional sectors.
        let entry = standard(L2Entry::COMPRESSED | 3 << 54 | 0x12345);
        let span = CompressedSpan { start: HostOffset(0x12345), length: 4 * 512 - 0x145 };
        assert_eq!(entry.decode(rules(16, false)), Ok(Cluster::Compressed(span)));
    }

    #[test]
    fn the_span_at_the_extremes_of_the_cluster_size() {
        for (cluster_bits, offset_bits) in [(9, 61), (21, 49)] {
            let entry = standard(u64::MAX);
            let Ok(Cluster::Compressed(span)) = entry.decode(rules(cluster_bits, false)) else {
                unreachable!("the flag is set");
            };
            assert_eq!(span.start.0, (1 << offset_bits) - 1);
            assert!(span.length <= 2 << cluster_bits, "{span:?}");
        }
    }

    #[test]
    fn a_zero_flag_needs_version_3() {
        let version_2 = L2Rules { zero_flag: false, ..rules(16, false) };
        assert_eq!(standard(1).decode(version_2), Err(BadL2Entry::ZeroInVersion2));
    }

    #[test]
    fn impossible_bitmaps() {
        let both = L2Entry { word: 1 << 16, bitmap: 1 << 32 | 1 };
        assert_eq!(both.decode(rules(16, true)), Err(BadL2Entry::Subclusters));
        let nowhere = L2Entry { word: 0, bitmap: 1 };
        assert_eq!(nowhere.decode(rules(16, true)), Err(BadL2Entry::Subclusters));
    }

    #[test]
    fn runs_of_subclusters() {
        let cluster = Subclusters { host: Some(HostOffset(0)), allocated: 0b0011, zero: 0b0100 };
        assert_eq!(cluster.run_at(0, 32), (SubclusterKind::Data, 2));
        assert_eq!(cluster.run_at(1, 32), (SubclusterKind::Data, 1));
        assert_eq!(cluster.run_at(2, 32), (SubclusterKind::Zero, 1));
        assert_eq!(cluster.run_at(3, 32), (SubclusterKind::Unallocated, 29));
        let full = Subclusters { allocated: u32::MAX, zero: 0, ..cluster };
        assert_eq!(full.run_at(0, 32), (SubclusterKind::Data, 32));
        assert_eq!(full.run_at(0, 1), (SubclusterKind::Data, 1));
    }
}
