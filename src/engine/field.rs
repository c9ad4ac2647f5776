//! The offsets of the header fields, in bytes from the beginning of the file (QEMU, `docs/interop/qcow2.txt`).

pub(crate) const MAGIC: u64 = 0;
pub(crate) const VERSION: u64 = 4;
pub(crate) const BACKING_FILE_OFFSET: u64 = 8;
pub(crate) const BACKING_FILE_SIZE: u64 = 16;
pub(crate) const CLUSTER_BITS: u64 = 20;
pub(crate) const SIZE: u64 = 24;
pub(crate) const CRYPT_METHOD: u64 = 32;
pub(crate) const L1_SIZE: u64 = 36;
pub(crate) const L1_TABLE_OFFSET: u64 = 40;
pub(crate) const REFCOUNT_TABLE_OFFSET: u64 = 48;
pub(crate) const REFCOUNT_TABLE_CLUSTERS: u64 = 56;
pub(crate) const NB_SNAPSHOTS: u64 = 60;
pub(crate) const SNAPSHOTS_OFFSET: u64 = 64;
/// The header of version 2 ends here. The following fields exist only in version 3.
pub(crate) const INCOMPATIBLE_FEATURES: u64 = 72;
pub(crate) const COMPATIBLE_FEATURES: u64 = 80;
pub(crate) const AUTOCLEAR_FEATURES: u64 = 88;
pub(crate) const REFCOUNT_ORDER: u64 = 96;
pub(crate) const HEADER_LENGTH: u64 = 100;
/// Exists only if the header is longer than this.
pub(crate) const COMPRESSION_TYPE: u64 = 104;
