//! Bit planes: one bit of each byte of eight blocks, in a vector register.

use core::arch::wasm32::{
    i8x16_shuffle, u64x2, u64x2_extract_lane, u64x2_shl, u64x2_shr, u64x2_splat, v128, v128_and, v128_xor,
};
use core::ops::{BitAnd, BitXor};

use zeroize::DefaultIsZeroes;

/// A bit plane. Byte `i` has one bit of byte `i` of each block, so a shuffle permutes the bytes of all blocks.
///
/// The bytes of a block are the columns of AES, one after another, with four rows each.
#[derive(Clone, Copy)]
pub(super) struct Plane(v128);

/// One plane for each bit of a byte, the highest bit first.
pub(super) type Planes = [Plane; 8];

impl Plane {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        let word = u128::from_le_bytes(bytes);
        Self(u64x2(word as u64, (word >> 64) as u64))
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        let [low, high] = [u64x2_extract_lane::<0>(self.0), u64x2_extract_lane::<1>(self.0)];
        (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
    }

    /// In each byte, swaps the bits `mask << distance` of `self` with the bits `mask` of `other`.
    #[inline]
    pub(super) fn exchange(self, other: Self, distance: u32, mask: u8) -> [Self; 2] {
        let mask = Self(u64x2_splat(u64::from_le_bytes([mask; 8])));
        let difference = (Self(u64x2_shr(self.0, distance)) ^ other) & mask;
        [self ^ Self(u64x2_shl(difference.0, distance)), other ^ difference]
    }

    /// Moves row `r` by `r` columns to the left.
    pub(super) fn shift_rows(self) -> Self {
        Self(i8x16_shuffle::<0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11>(self.0, self.0))
    }

    /// Moves row `r` by `r` columns to the right.
    pub(super) fn shift_rows_back(self) -> Self {
        Self(i8x16_shuffle::<0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3>(self.0, self.0))
    }

    /// Replaces each row by the next one.
    pub(super) fn rows_up(self) -> Self {
        Self(i8x16_shuffle::<1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12>(self.0, self.0))
    }

    /// Replaces each row by the second next one.
    pub(super) fn rows_up_twice(self) -> Self {
        Self(i8x16_shuffle::<2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13>(self.0, self.0))
    }
}

impl Default for Plane {
    fn default() -> Self {
        Self(u64x2_splat(0))
    }
}

/// Needed to wipe keys.
impl DefaultIsZeroes for Plane {}

impl BitAnd for Plane {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(v128_and(self.0, other.0))
    }
}

impl BitXor for Plane {
    type Output = Self;

    fn bitxor(self, other: Self) -> Self {
        Self(v128_xor(self.0, other.0))
    }
}
