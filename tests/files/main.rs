//! The file systems, on real images: made by the tools of Debian, filled with the same tree, and compared byte by byte.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod lab;

mod contents;
mod detect;
mod limits;
mod read;
mod write;
