//! The bridge to JavaScript: the engine over storages that JavaScript objects are, for the TypeScript in `src/js`.
//!
//! It holds no product logic. What crosses:
//!
//! - **Calls that may have to wait** return their value where it is at hand, else the number of a task; what becomes of
//!   it, the [`Host`] is told. What the engine asks of the host, it asks with the number of a request, to which the host
//!   answers. So a read that waits crosses four times, and makes no promise but the caller's: that is what makes small
//!   reads over slow storages as fast as the storage.
//! - **Offsets** into a disk are bigints. Sizes and places are numbers, exact since they are multiples of 512, or below
//!   2^53 because the files of JavaScript end there.
//! - **Bytes** are copied once, between the caller's array and the memory of WebAssembly, on which a synchronous storage
//!   works directly; an asynchronous one gets an array of its own to write. What is read from a synchronous storage, or
//!   written there in place, and lies there in one piece, doesn't come here at all: see `src/js/engine/direct-reads.ts` for reads.
//! - **Secrets** cross as arrays that are wiped by who takes them out.
//! - **Errors** are plain objects with `code`, `message` and what else there is; an exception that a storage threw is
//!   their `cause`, unchanged.
#![no_std]
#![allow(unsafe_code, reason = "wasm-bindgen's macros write the glue, and it is unsafe")]
#![cfg_attr(not(feature = "edit"), allow(dead_code, reason = "a reader calls the half of it"))]

extern crate alloc;

#[cfg(feature = "edit")]
mod bitmaps;
mod buffers;
#[cfg(feature = "edit")]
mod check;
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
