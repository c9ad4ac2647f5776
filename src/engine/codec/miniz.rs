//! Raw deflate by `miniz_oxide`: safe code only, and the smallest implementation.

use alloc::boxed::Box;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use super::contract::Decompress;
use crate::error::DecompressError;

#[derive(Default)]
pub(super) struct Miniz {
    state: Box<DecompressorOxide>,
}

impl Decompress for Miniz {
    fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), DecompressError> {
        self.state.init();
        let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, _, written) = decompress(&mut self.state, input, output, 0, flags);
        match status {
            TINFLStatus::Done | TINFLStatus::HasMoreOutput if written == output.len() => Ok(()),
            TINFLStatus::Done
            | TINFLStatus::HasMoreOutput
            | TINFLStatus::NeedsMoreInput
            | TINFLStatus::FailedCannotMakeProgress => Err(DecompressError::Short),
            _ => Err(DecompressError::Invalid),
        }
    }
}
