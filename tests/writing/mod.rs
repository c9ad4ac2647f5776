//! Writing: many requests at once, dropped ones, both sides taking turns, and what a flush costs.

mod bitmaps;
mod compact;
mod concurrent;
mod copy_up;
mod costs;
mod creating;
mod dropped;
mod empty;
mod encrypted;
pub mod far;
mod first_change;
mod found;
mod growing;
mod header;
mod host_offset;
mod lazy_refcounts;
mod lookups;
mod matrix;
mod packed;
mod poisoned;
mod ranges;
mod refcount_growth;
mod sequential;
mod turns;
mod waiting;
