//! Metadata over a storage: cached tables, and the mapping that they hold.

pub(crate) mod active_requests;
pub(crate) mod attempt;
pub(crate) mod buffer_pool;
mod cancellation;
pub(crate) mod cluster_locks;
pub(crate) mod compressed;
pub(crate) mod current_header;
mod deferred_free;
pub(crate) mod dirty_slices;
pub(crate) mod encrypted;
pub(crate) mod exclusive;
pub(crate) mod host_file;
mod l2_entries;
pub(crate) mod lock;
pub(crate) mod lookup;
mod metadata_ranges;
mod new_refcounts;
pub(crate) mod refcounts;
pub(crate) mod reservation;
pub(crate) mod restructure;
pub(crate) mod run;
pub(crate) mod second_chance;
pub(crate) mod table_cache;
mod waiters;
pub(crate) mod writeback;
