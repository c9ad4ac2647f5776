//! Zstd by zrip, the fastest of the pure Rust decoders measured.

use zrip::{DecompressContext, DecompressError as ZripError};

use super::contract::{Compress, Decompress};
use super::zstd_frame::{Frame, next_frame};
use crate::error::DecompressError;

#[derive(Default)]
pub(super) struct Zrip {
    context: DecompressContext,
}

impl Decompress for Zrip {
    /// Frame after frame until the cluster is full, as QEMU does; what follows is padding.
    ///
    /// zrip takes a frame at a time and nothing behind it, hence the walk over the frames' own lengths.
    fn decompress(&mut self, mut input: &[u8], mut output: &mut [u8]) -> Result<(), DecompressError> {
        let mut begun = false;
        while !output.is_empty() {
            let (frame, rest) = match next_frame(input) {
                // Behind a sound frame there is padding: what is missing is another frame.
                Err(DecompressError::Invalid) if begun => return Err(DecompressError::Short),
                next => next?,
            };
            begun = true;
            if let Frame::Data(bytes) = frame {
                let limit = output.len();
                let decoded = self.context.decompress_with_limit(bytes, limit).map_err(|error| match error {
                    ZripError::OutputTooSmall => DecompressError::Long,
                    _ => DecompressError::Invalid,
                })?;
                // Never more than the limit; checked all the same, for the slice below must not panic.
                let (filled, left) = output.split_at_mut_checked(decoded.len()).ok_or(DecompressError::Long)?;
                filled.copy_from_slice(&decoded);
                output = left;
            }
            input = rest;
        }
        Ok(())
    }
}

pub(super) struct ZripWriter {
    pub(super) level: i32,
}

impl Compress for ZripWriter {
    fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        zrip::compress_into(input, output, self.level).ok()
    }
}
