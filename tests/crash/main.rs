//! Crashes and faults: whatever a medium loses, the image opens, what was flushed is there, and clusters are leaked at
//! worst.
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

mod faults;
mod states;
