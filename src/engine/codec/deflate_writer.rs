//! Raw deflate by zlib-rs: the compressor, the only one in Rust that can also write 4 KiB windows.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

use super::contract::Compress;

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
