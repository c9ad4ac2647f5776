//! The life of an image: snapshots, VM state, resizing, and what differs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "a test crate fails by panicking, exports nothing, and shares helpers with others"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../rig/mod.rs"]
mod rig;

mod bench;
mod crash;
mod dropped;
mod expected;
mod limits;
mod random;
mod snapshots;
