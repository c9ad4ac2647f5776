//! The qcow2 disk image over any storage, for browsers first.
//!
//! The engine is async and single-threaded: a [`Storage`] answers positioned reads, and an [`Image`] opened over it
//! answers reads of the guest's disk. Where the storage always answers at once, every future of the engine completes
//! at its first poll, so [`now_or_never`] makes the synchronous interface out of the same code.
//!
//! ```
//! # use qcow2_web::{Error, Image, OpenOptions, storage::MemoryStorage, now_or_never};
//! # fn main() {
//! let file = MemoryStorage::from(vec![0; 512]);
//! let opened = now_or_never(Image::open(file, OpenOptions::new())).expect("memory is always ready");
//! assert_eq!(opened.err().map(|error| error.code()), Some("NOT_QCOW2"));
//! # }
//! ```
//!
//! # Layers
//!
//! Each imports only from those above it in this list (`tests/layers.rs` holds that):
//!
//! 1. `field`, `error`, `storage`, `ready`: where the header's fields are, what can go wrong, what the engine asks of a
//!    storage, and how it is polled where nothing waits.
//! 2. `codec`: compressed bytes to a cluster's bytes, and back.
//! 3. `format`: bytes ⇄ values, pure; no I/O, no async.
//! 4. `crypto`: encrypted sectors to sectors.
//! 5. `meta`: cached tables over a storage, and the mapping that they hold.
//! 6. `image`: operations on an image, a directory per subject.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod codec;
mod crypto;
mod error;
mod field;
mod format;
mod image;
mod meta;
mod ready;
pub mod storage;

pub use codec::{Codec, Codecs, Compress, CompressionType, Decompress, PackedClusters, Packer};
#[cfg(feature = "luks")]
pub use crypto::passphrase::Passphrase;
#[cfg(feature = "luks")]
pub use crypto::pbkdf2::{Derivation, Pbkdf2};
pub use error::{
    BitmapProblem, Corrupt, CreateFault, DecompressError, Error, FileFormat, HeaderTable, LuksFault, Missing, Misuse,
    Problem, Unsupported,
};
pub use format::bitmap::BitmapInfo;
#[cfg(feature = "luks")]
pub use format::cipher_spec::{CipherAlgorithm, CipherMode, CipherSpec, HashAlgorithm, IvGenerator};
pub use format::header::extension::Extension;
pub use format::header::feature::{FeatureBit, FeatureKind};
pub use format::header::{Encryption, RawHeader};
pub use format::luks::{KeySlotInfo, LuksInfo};
pub use format::snapshot::Snapshot;
pub use image::Image;
pub use image::chain::backing::{
    BackingFile, BackingFormat, BackingRequest, BackingResolver, NoBacking, Supply, WithoutBacking,
};
pub use image::check::{CheckOptions, CheckReport, Finding, Progress, Remedy, Severity, Verdict, check};
pub use image::create::{CreateOptions, Preallocation};
pub use image::encryption::EncryptionInfo;
#[cfg(feature = "luks")]
pub use image::encryption::create::EncryptOptions;
#[cfg(feature = "luks")]
pub use image::encryption::derived_keys::RememberedKeys;
#[cfg(feature = "luks")]
pub use image::encryption::key_derivation::KeyDerivation;
#[cfg(feature = "luks")]
pub use image::encryption::key_material::{Entropy, KeyOptions, NoEntropy, calibrate};
#[cfg(feature = "luks")]
pub use image::encryption::unlock::PassphraseRequest;
pub use image::info::inspect::{Inspection, inspect};
pub use image::info::statistics::Statistics;
pub use image::info::{ChainLink, Info};
pub use image::open::OpenOptions;
pub use image::options::amend::{AmendOptions, amend};
pub use image::options::change_header::HeaderChanges;
pub use image::options::resize::ResizeOptions;
pub use image::read::diff::{Diff, DiffExtent, DiffStep};
pub use image::read::locate::{Location, LocationKind};
pub use image::read::map::{Extent, Map, Step};
pub use image::read::salvage::Unreadable;
pub use image::repair::{Repair, RepairOptions, RepairReport, repair};
pub use image::snapshot::create::SnapshotOptions;
pub use ready::now_or_never;
pub use storage::{Storage, StorageMut};
