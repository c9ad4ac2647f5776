//! Checking, repairing and amending, with QEMU on the other side.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "a test crate fails by panicking, exports nothing, and shares helpers with others"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../hostile/memory.rs"]
mod memory;
#[path = "../rig/mod.rs"]
mod rig;

mod amend;
mod anatomy;
mod bases;
mod calls;
mod crash;
mod damage;
mod findings;
mod large;
mod luks;
mod oracle;
mod repair;
