use core::fmt;

/// Why an image can't be created as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateFault {
    /// Clusters must have a power of two of bytes, from 512 to 2 MiB.
    ClusterSize(u64),
    /// Reference counts must have 1, 2, 4, 8, 16, 32 or 64 bits.
    RefcountBits(u32),
    /// The format has versions 2 and 3.
    Version(u32),
    /// This takes version 3.
    NeedsVersion3(&'static str),
    /// Extended L2 entries need clusters of 16 KiB or more.
    ClusterTooSmallForExtendedL2(u64),
    /// The disk is larger than clusters of this size can map.
    DiskTooLarge {
        /// The size that was asked for.
        size: u64,
        /// The largest one with these clusters.
        largest: u64,
    },
    /// The backing file's name is empty.
    EmptyBackingName,
    /// The backing file's name has more than 1023 bytes.
    BackingNameTooLong(usize),
    /// The names of the backing file and of the data file don't fit into the first cluster with the header.
    NamesTooLong {
        /// How many bytes the header would have with them.
        length: u64,
        /// How many it can have.
        cluster_size: u64,
    },
    /// A raw data file can't have a backing file under it.
    RawDataFileWithBacking,
    /// With a backing file, only subclusters can be allocated and not shown: that takes extended L2 entries.
    PreallocationWithBacking,
    /// The cipher takes no key of that length, or QEMU can't open an image that has one.
    CipherKey {
        /// The length in bits.
        key_bits: u32,
    },
    /// A data file was supplied without a name for it, or a name without the file.
    DataFileAndName,
}

impl fmt::Display for CreateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterSize(size) => {
                write!(f, "clusters of {size} bytes can't be: a power of two from 512 to 2 MiB is needed")
            }
            Self::RefcountBits(bits) => {
                write!(f, "reference counts of {bits} bits can't be: a power of two up to 64 is needed")
            }
            Self::Version(version) => write!(f, "the format has no version {version}; versions are 2 and 3"),
            Self::NeedsVersion3(what) => write!(f, "{what} needs version 3 of the format"),
            Self::ClusterTooSmallForExtendedL2(size) => {
                write!(f, "extended L2 entries need clusters of 16 KiB or more, not {size} bytes")
            }
            Self::DiskTooLarge { size, largest } => {
                write!(f, "a disk of {size} bytes is too large for clusters of this size: at most {largest}")
            }
            Self::EmptyBackingName => f.write_str("the backing file's name is empty"),
            Self::BackingNameTooLong(length) => {
                write!(f, "the backing file's name has {length} bytes; 1023 are the most")
            }
            Self::NamesTooLong { length, cluster_size } => {
                write!(f, "with these names the header has {length} bytes, more than a cluster of {cluster_size}")
            }
            Self::RawDataFileWithBacking => f.write_str("an image with a raw data file can't have a backing file"),
            Self::PreallocationWithBacking => {
                f.write_str("an image with a backing file can be preallocated only with extended L2 entries")
            }
            Self::CipherKey { key_bits } => write!(f, "the cipher can't be used with a key of {key_bits} bits"),
            Self::DataFileAndName => f.write_str("a data file needs a name to record, and a name the file itself"),
        }
    }
}
