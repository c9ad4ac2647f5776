//! Finds the end of a zstd frame (RFC 8878, section 3.1) without decoding it.

use crate::error::DecompressError;

const MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
const CHECKSUM_BYTES: usize = 4;

/// A complete frame, including its magic number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A frame of compressed data.
    Data(&'a [u8]),
    /// A frame that decoders skip.
    Skippable,
}

/// Returns the frame at the beginning of `input`, and the bytes after it.
pub(super) fn next_frame(input: &[u8]) -> Result<(Frame<'_>, &[u8]), DecompressError> {
    let mut cursor = Cursor { input, at: 0 };
    let magic = cursor.little_endian(4)?;
    if magic & 0xffff_fff0 == u64::from(SKIPPABLE_MAGIC) {
        let length = cursor.little_endian(4)?;
        cursor.skip(usize::try_from(length).map_err(|_| DecompressError::Short)?)?;
        return Ok((Frame::Skippable, cursor.rest()));
    }
    if magic != u64::from(MAGIC) {
        return Err(DecompressError::Invalid);
    }
    let descriptor = cursor.little_endian(1)?;
    cursor.skip(header_bytes(descriptor))?;
    loop {
        let block = cursor.little_endian(3)?;
        let size = usize::try_from(block >> 3).map_err(|_| DecompressError::Invalid)?;
        // Raw and compressed blocks hold `size` bytes; a run holds one byte, repeated.
        let stored = match (block >> 1) & 3 {
            0 | 2 => size,
            1 => 1,
            _ => return Err(DecompressError::Invalid),
        };
        cursor.skip(stored)?;
        if block & 1 == 1 {
            break;
        }
    }
    if descriptor & 0x04 != 0 {
        cursor.skip(CHECKSUM_BYTES)?;
    }
    Ok((Frame::Data(&input[..cursor.at]), cursor.rest()))
}

/// Returns the length of the frame header after its descriptor: window, dictionary id and content size.
fn header_bytes(descriptor: u64) -> usize {
    let single_segment = descriptor & 0x20 != 0;
    let window = usize::from(!single_segment);
    let dictionary = match descriptor & 3 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let content_size = match descriptor >> 6 {
        0 => usize::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    window + dictionary + content_size
}

struct Cursor<'a> {
    input: &'a [u8],
    /// At most the input's length.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecompressError> {
        let end = self.at.checked_add(count).ok_or(DecompressError::Short)?;
        let bytes = self.input.get(self.at..end).ok_or(DecompressError::Short)?;
        self.at = end;
        Ok(bytes)
    }

    fn skip(&mut self, count: usize) -> Result<(), DecompressError> {
        self.take(count).map(drop)
    }

    fn little_endian(&mut self, count: usize) -> Result<u64, DecompressError> {
        Ok(self.take(count)?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One raw block of "abc", single segment, content size in one byte, no checksum.
    const RAW: [u8; 12] = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 0x19, 0, 0, b'a', b'b', b'c'];

    #[test]
    fn ends_where_the_last_block_ends() {
        let mut input = RAW.to_vec();
        input.extend_from_slice(b"padding");
        assert_eq!(next_frame(&input), Ok((Frame::Data(&RAW[..]), &b"padding"[..])));
    }

    #[test]
    fn a_skippable_frame_is_skipped() {
        let input = [0x5f, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9, 7];
        assert_eq!(next_frame(&input), Ok((Frame::Skippable, &[7][..])));
    }

    #[test]
    fn every_truncation_is_short() {
        for length in 0..RAW.len() {
            assert_eq!(next_frame(&RAW[..length]), Err(DecompressError::Short), "{length} bytes");
        }
    }

    #[test]
    fn a_reserved_block_type_is_invalid() {
        let mut input = RAW;
        input[6] |= 0x06;
        assert_eq!(next_frame(&input), Err(DecompressError::Invalid));
    }

    #[test]
    fn another_magic_is_invalid() {
        assert_eq!(next_frame(&[0; 16]), Err(DecompressError::Invalid));
    }
}
