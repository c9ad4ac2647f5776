//! An engine for qcow2 disk images over any storage, primarily for browsers.
//!
//! The engine is async and single-threaded. A [`Storage`] provides reads and writes at byte offsets, and an [`Image`] that
//! is opened over it provides reads and writes of the guest disk. If the storage never waits, no future of the engine waits,
//! so [`now_or_never`] turns the same code into a synchronous interface. Native programs without an executor use
//! `blocking::wait`.
//!
//! ```
//! use qcow2_web::{CreateOptions, Image, OpenOptions, blocking::wait, storage::MemoryStorage};
//! use std::rc::Rc;
//!
//! let file = Rc::new(MemoryStorage::default());
//! let image = wait(CreateOptions::new(64 << 20).create(file.clone(), OpenOptions::new()))?;
//! wait(image.write_at(512, b"boot"))?;
//! wait(image.close())?;
//!
//! let image = wait(Image::open(file, OpenOptions::new()))?;
//! let mut bytes = [0; 4];
//! wait(image.read_at(512, &mut bytes))?;
//! assert_eq!(&bytes, b"boot");
//! assert_eq!(image.size(), 64 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layers
//!
//! Each layer imports only from those above it in this list (`tests/layers.rs` checks that):
//!
//! 1. `field`, `error`, `storage`, `ready`, `blocking`: the offsets of the header fields, the errors, the storage interface,
//!    and how to run futures without an executor.
//! 2. `codec`: compresses and decompresses clusters.
//! 3. `format`: parses and serialises the structures of the format, without I/O and async.
//! 4. `crypto`: encrypts and decrypts sectors.
//! 5. `meta`: cached metadata over a storage: lookups, refcounts and write-back.
//! 6. `image`: operations on an image, one directory per subject.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(all(doctest, feature = "std"), doc = include_str!("README.md"))]

extern crate alloc;

#[cfg(feature = "std")]
pub mod blocking;
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
pub use crypto::hash::digest;
#[cfg(feature = "luks")]
pub use crypto::key_slot::open as open_key_slot;
#[cfg(feature = "luks")]
pub use crypto::passphrase::Passphrase;
#[cfg(feature = "luks")]
pub use crypto::pbkdf2::{Derivation, Pbkdf2};
#[cfg(feature = "luks")]
pub use crypto::sector::SectorCipher;
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
pub use image::compact::CompactOptions;
pub use image::create::{CreateOptions, DataFileLayout, Preallocation};
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
pub use image::write::ZeroMode;
pub use ready::now_or_never;
pub use storage::{Storage, StorageMut};
