//! The bridge to JavaScript: the engine over storages that JavaScript objects are, for the TypeScript in `src/js`.
//!
//! It holds no product logic. What crosses:
//!
//! - **Calls that may have to wait** return their value where it is at hand, else a [`Pending`] with a promise of it.
//! - **Offsets** into a disk are bigints. Sizes and places are numbers, exact since they are multiples of 512, or below
//!   2^53 because the files of JavaScript end there.
//! - **Bytes** go into the caller's array; a synchronous storage writes straight into the memory of WebAssembly.
//! - **Errors** are plain objects with `code`, `message` and what else there is; an exception that a storage threw is
//!   their `cause`, unchanged.
#![allow(unsafe_code, reason = "wasm-bindgen's macros write the glue, and it is unsafe")]

mod buffers;
mod error;
mod image;
mod map;
mod object;
mod resolver;
mod storage;
mod task;
mod values;

pub use image::{WasmImage, inspect};
pub use map::WasmMap;
pub use task::Pending;
