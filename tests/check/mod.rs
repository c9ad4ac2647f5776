//! Checking, repairing and amending, with QEMU on the other side.

mod amend;
mod anatomy;
mod bases;
mod calls;
mod crash;
mod damage;
mod findings;
mod head;
mod large;
mod luks;
pub mod oracle;
mod repair;
