//! Raw deflate by zlib-rs, the fastest of the pure Rust implementations measured.

use zlib_rs::{Inflate, InflateFlush};

use super::contract::Decompress;
use crate::error::DecompressError;

/// The largest window of deflate. QEMU writes streams with 4 KiB windows, but reads any window size.
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
        // A full cluster is valid, whether or not the stream continues. QEMU does the same.
        let full = self.state.total_out() == output.len() as u64;
        match status {
            Ok(_) if full => Ok(()),
            Ok(_) => Err(DecompressError::Short),
            Err(_) => Err(DecompressError::Invalid),
        }
    }
}
