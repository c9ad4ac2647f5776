//! What a dropped future leaves behind.
//!
//! A caller may drop any future of the engine at any await: an abort in the browser does just that. The image stays
//! usable, and the file stays as sound as it was. A failed request of the storage leaves the same behind, so both follow
//! one rule: *whatever is taken for the time of an await is held by a guard, and dropping the guard gives it back*.
//!
//! | The future held | Dropping its guard |
//! |---|---|
//! | host clusters that are allocated and not linked: [`Reservation`](super::reservation::Reservation) | frees them. They are used again only after a flush, because the write may still reach the storage. |
//! | guest clusters, or encrypted sectors: [`LockedRange`](super::cluster_locks::LockedRange) | lets the next change of these clusters go on. It decides anew. |
//! | a place among the requests: [`Request`](super::active_requests::Request) | lets clusters that were freed meanwhile be used again. |
//! | the metadata lock: [`Guard`](super::lock::Guard) | passes the lock on. Between two awaits under the lock, the tables in memory are always consistent. |
//! | the gate, from inside or closed: [`SharedGuard`](super::exclusive::SharedGuard), [`ExclusiveGuard`](super::exclusive::ExclusiveGuard) | opens it. |
//! | the right to load a table slice: [`Claim`](super::table_cache::Claim) | wakes those who wait for the slice. One of them loads it. |
//! | a write of a file: [`Written`](super::host_file::Written) | records that the next barrier must not be left out. |
//! | new refcounts that the file does not point to: [`NewRefcounts`](super::new_refcounts::NewRefcounts) | forgets them. |
//!
//! What has no guard is ordered so that each await is a sound place to stop:
//!
//! - **A write-back** marks a slice clean only when its write has completed. A dropped one leaves the slice dirty, and the
//!   next one writes it again (`writeback/order.rs`).
//! - **A write of the header** sets a flag first. While the flag is set, nothing else is written before the header is
//!   (`writeback/header.rs`).
//! - **Links** are set in memory one by one, and each link is counted off its reservation without an await in between. A
//!   change of many clusters that is dropped has changed some of them (`image/change/step.rs`).
//! - **A change of the tables as a whole** (repair, resize, amend, commit) writes new tables beside the old ones, and one
//!   write of the header switches (`meta/restructure.rs`).
//!
//! After a drop, each byte of the range that was being written is either as before or as written.
