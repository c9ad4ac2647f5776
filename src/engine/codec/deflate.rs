//! Raw deflate by zlib-rs, the fastest of the pure Rust implementations measured.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::contract::{Compress, Decompress};
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

/// QEMU's parameters, so that clusters compress about equally well: the largest memory level, and a window of 4 KiB.
const MEMORY_LEVEL: i32 = 9;
/// A negative value selects a raw stream.
const WRITER_WINDOW_BITS: i32 = -12;

pub(super) struct ZlibRsWriter {
    level: i32,
    state: Deflate,
}

impl ZlibRsWriter {
    pub(super) fn new(level: i32) -> Self {
        let config = DeflateConfig {
            level,
            window_bits: WRITER_WINDOW_BITS,
            mem_level: MEMORY_LEVEL,
            ..DeflateConfig::default()
        };
        Self { level, state: Deflate::new_with_config(config) }
    }
}

impl Compress for ZlibRsWriter {
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        self.state.reset();
        if let Ok(Status::StreamEnd) = self.state.compress(input, output, DeflateFlush::Finish) {
            return usize::try_from(self.state.total_out()).ok();
        }
        // zlib-rs 0.6 panics a few streams after one that did not end, because a reset doesn't rewind its buffer.
        *self = Self::new(self.level);
        None
    }
}
