//! The bridge to JavaScript: the engine over JavaScript storages, for the TypeScript in `src/js`.
//!
//! It contains no product logic. The conventions of its calls:
//!
//! - **Calls that may have to wait** return their value if it is available, otherwise the number of a task, whose
//!   outcome is reported to the [`Host`]. The engine's requests to the host have numbers, which the host's answers
//!   repeat. So a read that waits crosses the boundary four times, and creates no promise except the caller's. Small
//!   reads over slow storages are therefore as fast as the storage.
//! - **Guest offsets** are bigints. Sizes and host offsets are numbers. They are exact because they are multiples of
//!   512, or below 2^53, where files in JavaScript end.
//! - **Bytes** are copied once, between the caller's array and the WebAssembly memory. A synchronous storage works on
//!   that memory directly; an asynchronous storage gets its own array to write. Contiguous data that is read from a
//!   synchronous storage, or written there in place, does not pass through this module at all: see
//!   `src/js/engine/direct-reads.ts` for reads.
//! - **Secrets** are passed in arrays that the receiver wipes.
//! - **Errors** are plain objects with `code`, `message` and further members. An exception of a storage is their
//!   `cause`, unchanged.
#![no_std]
#![allow(unsafe_code, reason = "the code that wasm-bindgen's macros generate is unsafe")]
#![cfg_attr(not(feature = "edit"), allow(dead_code, reason = "the read-only build does not use all of it"))]

extern crate alloc;

#[cfg(feature = "edit")]
mod bitmaps;
mod buffers;
#[cfg(feature = "edit")]
mod check;
#[cfg(feature = "edit")]
mod compact;
#[cfg(feature = "edit")]
mod create;
#[cfg(feature = "edit")]
mod diff;
#[cfg(feature = "edit")]
mod encrypt;
mod engine;
mod error;
mod host;
mod image;
#[cfg(feature = "edit")]
mod key_slots;
#[cfg(feature = "luks")]
mod keys;
mod map;
#[cfg(feature = "edit")]
mod new_key;
mod object;
mod open_options;
#[cfg(feature = "edit")]
mod pack;
#[cfg(feature = "edit")]
mod progress;
#[cfg(feature = "edit")]
mod repair;
mod requests;
mod resolver;
mod runtime;
#[cfg(feature = "edit")]
mod snapshots;
mod storage;
mod tasks;
mod values;
mod walk;
#[cfg(feature = "edit")]
mod write;

#[cfg(feature = "edit")]
pub use diff::WasmDiff;
pub use engine::WasmEngine;
pub use host::{
    Host, HostAmendOptions, HostCreateOptions, HostOpenOptions, HostProgress, HostSnapshotOptions, HostStorage,
};
#[cfg(feature = "luks")]
pub use host::{HostEncryptOptions, HostKeyOptions};
pub use image::WasmImage;
pub use map::WasmMap;
#[cfg(feature = "edit")]
pub use pack::WasmPacker;
