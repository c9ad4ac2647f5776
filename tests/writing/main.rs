//! Writing: many requests at once, dropped ones, both sides taking turns, and what a flush costs.
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

mod concurrent;
mod dropped;
mod found;
