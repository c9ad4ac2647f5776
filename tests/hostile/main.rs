//! Images made to break their reader: each is refused by the exact error, or read as QEMU reads it, within bounds on
//! memory and on work.
//!
//! Work is counted in requests of the storage, never in time. Every test says what is broken in its image, and the
//! helpers say what QEMU has to say to it: `both_refuse`, `only_we_refuse`, `only_qemu_refuses`, `both_read`.
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

mod backing;
mod caches;
mod compressed;
mod extensions;
mod header;
mod luks;
mod memory;
mod mutation;
mod random_images;
mod snapshot_changes;
mod snapshots;
mod tables;
mod verdict;
mod written;
