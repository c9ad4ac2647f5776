//! Parses and serialises the structures of the format, without I/O and async.

pub(crate) mod bitmap;
pub(crate) mod bytes;
#[cfg(feature = "luks")]
pub(crate) mod cipher_spec;
pub(crate) mod copied;
pub(crate) mod geometry;
pub(crate) mod header;
pub(crate) mod l1;
pub(crate) mod l2;
pub(crate) mod l2_corruption;
pub(crate) mod luks;
pub(crate) mod probe;
pub(crate) mod refcount;
pub(crate) mod snapshot;
pub(crate) mod units;
