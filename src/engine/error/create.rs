use core::fmt;

/// The reason why an image can't be created with the given options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateFault {
    /// The cluster size must be a power of two from 512 bytes to 2 MiB.
    ClusterSize(u64),
    /// The refcount width must be 1, 2, 4, 8, 16, 32 or 64 bits.
    RefcountBits(u32),
    /// The version must be 2 or 3.
    Version(u32),
    /// The named option needs version 3.
    NeedsVersion3(&'static str),
    /// Extended L2 entries need clusters of at least 16 KiB.
    ClusterTooSmallForExtendedL2(u64),
    /// The disk is too large for this cluster size.
    DiskTooLarge {
        /// The requested size, in bytes.
        size: u64,
        /// The largest size with these clusters, in bytes.
        largest: u64,
    },
    /// The backing file's name is empty.
    EmptyBackingName,
    /// The backing file's name has more than 1023 bytes; this is its length.
    BackingNameTooLong(usize),
    /// The header with the names of the backing file and the data file doesn't fit into the first cluster.
    NamesTooLong {
        /// The length of the header with the names, in bytes.
        length: u64,
        /// The largest possible length, in bytes.
        cluster_size: u64,
    },
    /// An image with a raw data file can't have a backing file.
    RawDataFileWithBacking,
    /// A data file can be made raw only when the image is created.
    RawDataFileLater,
    /// Preallocation with a backing file needs extended L2 entries.
    ///
    /// Only these can allocate a cluster whose contents are still those of the backing file.
    PreallocationWithBacking,
    /// The cipher doesn't support this key length, or QEMU can't open an image with such a key.
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
                write!(f, "the cluster size must be a power of two from 512 bytes to 2 MiB, not {size} bytes")
            }
            Self::RefcountBits(bits) => {
                write!(f, "the refcount width must be a power of two from 1 to 64 bits, not {bits} bits")
            }
            Self::Version(version) => write!(f, "the version must be 2 or 3, not {version}"),
            Self::NeedsVersion3(what) => write!(f, "{what} needs version 3 of the format"),
            Self::ClusterTooSmallForExtendedL2(size) => {
                write!(f, "extended L2 entries need clusters of 16 KiB or more, not {size} bytes")
            }
            Self::DiskTooLarge { size, largest } => {
                write!(f, "a disk of {size} bytes is too large for this cluster size; the largest is {largest} bytes")
            }
            Self::EmptyBackingName => f.write_str("the backing file's name is empty"),
            Self::BackingNameTooLong(length) => {
                write!(f, "the backing file's name has {length} bytes; at most 1023 are allowed")
            }
            Self::NamesTooLong { length, cluster_size } => {
                write!(
                    f,
                    "the header with these names has {length} bytes, but a cluster has only {cluster_size}; use shorter names"
                )
            }
            Self::RawDataFileWithBacking => f.write_str("an image with a raw data file can't have a backing file"),
            Self::RawDataFileLater => {
                f.write_str("a data file can be made raw only when the image is created; convert the image instead")
            }
            Self::PreallocationWithBacking => {
                f.write_str("an image with a backing file can be preallocated only with extended L2 entries")
            }
            Self::CipherKey { key_bits } => write!(f, "the cipher doesn't support a key of {key_bits} bits"),
            Self::DataFileAndName => f.write_str("supply both the data file and its name, or neither"),
        }
    }
}
