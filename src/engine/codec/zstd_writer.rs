//! Zstd by zrip: the compressor.

use super::contract::Compress;

pub(super) struct ZripWriter {
    pub(super) level: i32,
}

impl Compress for ZripWriter {
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        zrip::compress_into(input, output, self.level).ok()
    }
}
