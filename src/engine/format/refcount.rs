//! The width of refcounts, and their positions in a refcount block.

/// A refcount table entry: bits 9 to 63 are the offset of a refcount block.
pub(crate) const TABLE_OFFSET_MASK: u64 = !0x1ff;
pub(crate) const TABLE_ENTRY_SIZE: u64 = 8;

/// The width of the refcounts of an image: 2^0 to 2^6 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefcountWidth {
    order: u32,
}

/// The position of a refcount: the byte of its 64-bit word in the block, and its lowest bit in that word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefcountPosition {
    pub(crate) word_byte: u64,
    pub(crate) shift: u32,
}

impl RefcountWidth {
    /// Returns the width of 2^`order` bits. `order` is from a checked header: at most 6.
    pub(crate) fn new(order: u32) -> Self {
        Self { order: order.min(6) }
    }

    /// Returns the smallest width that can hold `count`.
    pub(crate) fn that_holds(count: u64) -> Self {
        let bits = (u64::BITS - count.leading_zeros()).max(1);
        Self { order: bits.next_power_of_two().trailing_zeros() }
    }

    /// Returns the binary logarithm of the width, as in the header.
    pub(crate) fn order(self) -> u32 {
        self.order
    }

    pub(crate) fn bits(self) -> u32 {
        1 << self.order
    }

    /// Returns the largest refcount of this width.
    pub(crate) fn max(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }

    /// Returns the binary logarithm of the number of refcounts in a block of 2^`cluster_bits` bytes.
    pub(crate) fn block_bits(self, cluster_bits: u32) -> u32 {
        cluster_bits + 3 - self.order
    }

    /// Returns the position of refcount `index` of a block.
    ///
    /// Refcounts of 8 bits and more are big-endian. Narrower ones fill each byte from its lowest bit.
    pub(crate) fn position(self, index: u64) -> RefcountPosition {
        let first_bit = index << self.order;
        let byte = first_bit / 8;
        let byte_shift = 56 - 8 * low_bits(byte, 3);
        let shift = if self.order < 3 {
            byte_shift + low_bits(first_bit, 3)
        } else {
            // The last byte of the refcount is its lowest.
            byte_shift + 8 - self.bits()
        };
        RefcountPosition { word_byte: byte & !7, shift }
    }

    pub(crate) fn get(self, word: u64, position: RefcountPosition) -> u64 {
        word >> position.shift & self.max()
    }

    /// Returns `word` with the refcount at `position` set to `count`, which is at most [`RefcountWidth::max`].
    pub(crate) fn set(self, word: u64, position: RefcountPosition, count: u64) -> u64 {
        word & !(self.max() << position.shift) | count << position.shift
    }
}

fn low_bits(value: u64, bits: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "masked to a few bits")]
    let low = (value & ((1 << bits) - 1)) as u32;
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets one refcount in an empty block, and returns the bytes of its first words.
    fn block_with(order: u32, index: u64, count: u64) -> [u8; 16] {
        let width = RefcountWidth::new(order);
        let position = width.position(index);
        let mut bytes = [0; 16];
        let at = usize::try_from(position.word_byte).expect("small");
        let word = width.set(0, position, count);
        assert_eq!(width.get(word, position), count);
        bytes[at..at + 8].copy_from_slice(&word.to_be_bytes());
        bytes
    }

    #[test]
    fn wide_refcounts_are_big_endian() {
        assert_eq!(block_with(4, 1, 0x0102)[..4], [0, 0, 1, 2]);
        assert_eq!(block_with(4, 4, 0x0102)[8..10], [1, 2]);
        assert_eq!(block_with(5, 1, 0x0102_0304)[4..8], [1, 2, 3, 4]);
        assert_eq!(block_with(6, 1, 7)[8..], [0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(block_with(3, 9, 5)[9], 5);
    }

    #[test]
    fn narrow_refcounts_fill_a_byte_from_its_lowest_bit() {
        assert_eq!(block_with(0, 0, 1)[0], 0b0000_0001);
        assert_eq!(block_with(0, 10, 1)[1], 0b0000_0100);
        assert_eq!(block_with(1, 3, 3)[0], 0b1100_0000);
        assert_eq!(block_with(2, 1, 0xa)[0], 0xa0);
    }

    #[test]
    fn the_narrowest_width_for_a_count() {
        for (count, bits) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (255, 8), (256, 16), (65_536, 32), (u64::MAX, 64)]
        {
            assert_eq!(RefcountWidth::that_holds(count).bits(), bits, "{count}");
        }
    }

    #[test]
    fn set_does_not_change_other_refcounts() {
        for order in 0..=6 {
            let width = RefcountWidth::new(order);
            let position = width.position(1);
            assert_eq!(width.set(u64::MAX, position, width.max()), u64::MAX);
            assert_eq!(width.set(0, position, 0), 0);
            assert_eq!(width.set(u64::MAX, position, 0).count_ones(), 64 - width.bits());
        }
    }
}
