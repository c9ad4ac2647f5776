//! Reading a table of words of any claimed length.

use alloc::vec::Vec;

use super::subject::Subject;
use crate::error::Error;
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// How many bytes of a table are read at once.
const SEGMENT: usize = 64 << 10;
const WORD: u64 = 8;

/// An L1 table or a bitmap table, read in segments.
pub(super) struct Segments<'a, 's, S> {
    subject: &'a Subject<'s, S>,
    /// The host offset of the next segment.
    start: HostOffset,
    left: u64,
    bytes: Vec<u8>,
}

impl<'a, 's, S: Storage> Segments<'a, 's, S> {
    /// Reads the table of `length` bytes at `start`.
    pub(super) fn new(subject: &'a Subject<'s, S>, start: HostOffset, length: u64) -> Self {
        // Past the end of the file there are zeros, which are not references.
        let left = length.min(subject.bytes_from(start));
        Self { subject, start, left, bytes: Vec::new() }
    }

    /// Returns the words of the next segment with their host offsets, or `None` after the last one.
    pub(super) async fn next(
        &mut self,
    ) -> Result<Option<impl ExactSizeIterator<Item = (HostOffset, u64)>>, Error<S::Error>> {
        if self.left == 0 {
            return Ok(None);
        }
        let length = SEGMENT.min(usize::try_from(self.left).unwrap_or(SEGMENT));
        let start = self.start;
        self.bytes.resize(length, 0);
        self.subject.read_zero_padded(start, &mut self.bytes).await?;
        self.start = start.plus(length as u64);
        self.left -= length as u64;
        let words = self.bytes.as_chunks::<8>().0.iter().enumerate();
        Ok(Some(words.map(move |(index, word)| (start.plus(index as u64 * WORD), u64::from_be_bytes(*word)))))
    }
}
