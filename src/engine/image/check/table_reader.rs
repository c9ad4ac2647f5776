//! Reading a table of words, however long it claims to be.

use alloc::vec::Vec;

use super::subject::Subject;
use crate::error::Error;
use crate::format::units::HostOffset;
use crate::storage::Storage;

/// How much of a table is read at once.
const PIECE: usize = 64 << 10;
const WORD: u64 = 8;

/// A table of an L1 or of a bitmap, read piece by piece.
pub(super) struct Pieces<'a, 's, S> {
    subject: &'a Subject<'s, S>,
    /// Where the next piece begins.
    start: HostOffset,
    left: u64,
    bytes: Vec<u8>,
}

impl<'a, 's, S: Storage> Pieces<'a, 's, S> {
    /// The table of `length` bytes at `start`.
    pub(super) fn new(subject: &'a Subject<'s, S>, start: HostOffset, length: u64) -> Self {
        // What is past the end reads as zeros, which refer to nothing.
        let left = length.min(subject.bytes_from(start));
        Self { subject, start, left, bytes: Vec::new() }
    }

    /// The words of the next piece, and where they are; `None` where there are no more.
    pub(super) async fn next(
        &mut self,
    ) -> Result<Option<impl ExactSizeIterator<Item = (HostOffset, u64)>>, Error<S::Error>> {
        if self.left == 0 {
            return Ok(None);
        }
        let length = PIECE.min(usize::try_from(self.left).unwrap_or(PIECE));
        let start = self.start;
        self.bytes.resize(length, 0);
        self.subject.fill(start, &mut self.bytes).await?;
        self.start = start.plus(length as u64);
        self.left -= length as u64;
        let words = self.bytes.as_chunks::<8>().0.iter().enumerate();
        Ok(Some(words.map(move |(index, word)| (start.plus(index as u64 * WORD), u64::from_be_bytes(*word)))))
    }
}
