//! The life of an image: snapshots, VM state, resizing, and what differs.

mod bench;
mod crash;
mod dropped;
mod expected;
mod limits;
mod random;
mod snapshots;
