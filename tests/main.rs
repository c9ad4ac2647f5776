//! The tests of the engine from outside: a module per subject, in one program.
//!
//! `cargo test -p qcow2-web-tests crash::states` runs those of one module. `common` and `rig` have what they share.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::large_stack_arrays,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a test crate fails by panicking, exports nothing, and works with small sizes"
)]

mod common;
mod rig;

mod check;
mod concurrency;
mod crash;
mod examples;
mod hostile;
mod interop;
mod layers;
mod life;
mod machine;
mod model;
mod writing;
