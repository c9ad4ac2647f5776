//! Interoperability: images that QEMU made, or that QEMU reads too, and both sides compared.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    unreachable_pub,
    dead_code,
    reason = "a test crate fails by panicking, exports nothing, and shares helpers with others"
)]

#[path = "../common/mod.rs"]
mod common;

mod chains;
mod compare;
mod compressed;
mod data_files;
mod encrypted;
mod encrypted_chains;
mod headers;
mod held_place;
mod locate;
mod matrix;
mod refused;
mod sizes;
mod snapshots;
mod studio;
mod vm_state;
