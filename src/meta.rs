//! Metadata over a storage: cached tables, and the mapping that they hold.

pub(crate) mod compressed;
pub(crate) mod host_file;
pub(crate) mod mapping;
pub(crate) mod second_chance;
pub(crate) mod table_cache;
