//! What each fuzz target does with an input; the programs in `bin/` hand it to libFuzzer.
//!
//! Nothing may panic, wait, ask the storage for bytes past its end, or take more memory or requests than the input
//! accounts for. Where an input is understood, [`model`] says what the engine must answer.

mod check;
#[path = "../../rig/checker/mod.rs"]
#[expect(unreachable_pub, reason = "it is shared with the tests")]
mod checker;
mod header;
mod image;
mod input;
mod limits;
mod luks;
mod model;
mod overlap;
mod plan;
mod repair;
mod storage;
mod streams;
mod tables;
pub mod volumes;
mod write;

pub use header::header;
pub use image::image;
pub use luks::luks;
pub use overlap::overlap;
pub use repair::repairs;
pub use streams::streams;
pub use tables::tables;
pub use write::write;

/// What the checker of the tests takes from their common part.
mod common {
    pub(crate) fn index(number: u64) -> usize {
        usize::try_from(number).expect("the fuzz targets run where an index has 64 bits")
    }
}
