//! Raw deflate by zlib-rs, the fastest of the pure Rust inflaters measured.

use zlib_rs::{Inflate, InflateFlush};

use super::Decompress;
use crate::error::DecompressError;

/// The largest window of the format. QEMU writes 4 KiB windows, but its reader takes any.
const WINDOW_BITS: u8 = 15;

pub(super) struct ZlibRs {
    state: Inflate,
}

impl Default for ZlibRs {
    fn default() -> Self {
        Self { state: Inflate::new(false, WINDOW_BITS) }
    }
}

impl Decompress for ZlibRs {
    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressError> {
        self.state.reset(false);
        let status = self.state.decompress(input, output, InflateFlush::Finish);
        // A full cluster is a good one, whether or not the stream goes on: so QEMU reads it.
        let full = self.state.total_out() == output.len() as u64;
        match status {
            Ok(_) if full => Ok(()),
            Ok(_) => Err(DecompressError::Short),
            Err(_) => Err(DecompressError::Invalid),
        }
    }
}
