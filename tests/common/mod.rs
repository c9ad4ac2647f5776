//! What the native tests share: the other side (QEMU), storages to watch and to hold, and a maker
//! of images.

pub mod builder;
pub mod compare;
pub mod deflate;
pub mod disk;
pub mod executor;
pub mod lab;
pub mod memory;
pub mod random;
pub mod reading;
pub mod secret;
pub mod studio;
pub mod zstd;

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;
pub const TIB: u64 = 1 << 40;

/// An index that fits, for slices of test data.
pub fn index(value: u64) -> usize {
    usize::try_from(value).expect("test data fits in memory")
}
