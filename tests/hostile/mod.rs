//! Images made to break their reader: each is refused by the exact error, or read as QEMU reads it, within bounds on
//! memory and on work.
//!
//! Work is counted in requests of the storage, never in time. Every test says what is broken in its image, and the
//! helpers say what QEMU has to say to it: `both_refuse`, `only_we_refuse`, `only_qemu_refuses`, `both_read`.

mod backing;
mod caches;
mod compressed;
mod extensions;
mod header;
mod luks;
mod mutation;
mod random_images;
mod snapshot_changes;
mod snapshots;
mod tables;
mod verdict;
mod written;
