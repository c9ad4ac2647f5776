//! Zstd by zrip, the fastest of the pure Rust decoders measured.

use zrip::{DecompressContext, DecompressError as ZripError};

use super::contract::Decompress;
use super::zstd_frame::{Frame, next_frame};
use crate::error::DecompressError;

#[derive(Default)]
pub(super) struct Zrip {
    context: DecompressContext,
}

impl Decompress for Zrip {
    /// Decompresses frames until the cluster is full, as QEMU does. The remaining bytes are padding.
    ///
    /// zrip accepts exactly one frame without trailing bytes, so this code finds the end of each frame itself.
    fn decompress(&mut self, mut input: &[u8], mut output: &mut [u8]) -> Result<(), DecompressError> {
        let mut begun = false;
        while !output.is_empty() {
            let (frame, rest) = match next_frame(input) {
                // Invalid bytes after a valid frame are padding, so another frame is missing.
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
                // The length never exceeds the limit. It is checked because a split must not panic.
                let (filled, left) = output.split_at_mut_checked(decoded.len()).ok_or(DecompressError::Long)?;
                filled.copy_from_slice(&decoded);
                output = left;
            }
            input = rest;
        }
        Ok(())
    }
}
