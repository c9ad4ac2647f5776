//! Writing: many requests at once, dropped ones, both sides taking turns, and what a flush costs.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::large_stack_arrays,
    reason = "sizes are small"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    dead_code,
    reason = "a test crate fails by panicking, exports nothing, and shares helpers with others"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../interop/compare.rs"]
mod compare;
#[path = "../rig/mod.rs"]
mod rig;
#[path = "../interop/studio.rs"]
mod studio;

mod concurrent;
mod copy_up;
mod costs;
mod creating;
mod dropped;
mod encrypted;
mod far;
mod found;
mod growing;
mod held_place;
mod lazy_refcounts;
mod matrix;
mod packed;
mod turns;
mod waiting;
