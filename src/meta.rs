//! Metadata over a storage: cached tables, and the mapping that they hold.

pub(crate) mod buffers;
pub(crate) mod compressed;
pub(crate) mod current_header;
pub(crate) mod dirty;
pub(crate) mod encrypted;
mod freed;
pub(crate) mod gate;
pub(crate) mod host_file;
pub(crate) mod inflight;
mod l2_entries;
pub(crate) mod lock;
pub(crate) mod mapping;
mod new_counts;
mod occupied;
pub(crate) mod refcounts;
pub(crate) mod requests;
pub(crate) mod reservation;
pub(crate) mod restructure;
pub(crate) mod second_chance;
pub(crate) mod table_cache;
mod waiters;
pub(crate) mod writeback;
