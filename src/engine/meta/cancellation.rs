//! What a dropped future leaves behind.
//!
//! A caller may drop any future of the engine at any await: an abort in the browser does just that. The image stays
//! usable, and the file stays as sound as it was. A failed storage request leaves the same state behind, so both follow
//! one rule: *a guard holds every resource that is acquired across an await, and dropping the guard releases it*.
//!
//! | The future held | Dropping its guard |
//! |---|---|
//! | host clusters that are allocated and not linked: [`Reservation`](super::reservation::Reservation) | frees them. They are allocated again only after a flush, because the write may still reach the storage. |
//! | a lock on guest clusters, or on encrypted sectors: [`LockedRange`](super::cluster_locks::LockedRange) | lets the next change of these clusters go on. It decides anew. |
//! | an active request: [`Request`](super::active_requests::Request) | lets clusters that were freed meanwhile be allocated again. |
//! | the metadata lock: [`Guard`](super::lock::Guard) | releases the lock. Between two awaits under the lock, the tables in memory are always consistent. |
//! | shared or exclusive access to the image: [`SharedGuard`](super::exclusive::SharedGuard), [`ExclusiveGuard`](super::exclusive::ExclusiveGuard) | ends the access. |
//! | the right to load a table slice: `Claim` (`table_cache.rs`) | wakes the tasks that wait for the slice. One of them loads it. |
//! | a write of a file: `UnsyncedWrite` (`host_file.rs`) | records that the next barrier is needed. |
//! | new refcounts that the file does not point to: [`NewRefcounts`](super::new_refcounts::NewRefcounts) | discards them. |
//!
//! Steps without a guard are ordered so that the state is sound at each await:
//!
//! - **A write-back** marks a slice clean only when its write has completed. A dropped one leaves the slice dirty, and the
//!   next one writes it again (`writeback/order.rs`).
//! - **A write of the header** sets a flag first. While the flag is set, nothing else is written before the header is
//!   (`writeback/header.rs`).
//! - **Links** are set in memory one by one, and each link is counted off its reservation without an await in between. A
//!   change of many clusters that is dropped has changed some of them (`image/change/step.rs`).
//! - **A restructuring of the tables** (snapshot, resize, amend, commit, repair) writes new tables beside the old ones, and one
//!   write of the header switches to them (`meta/restructure.rs`).
//!
//! After a drop, each byte of the range that was being written is either as before or as written.
