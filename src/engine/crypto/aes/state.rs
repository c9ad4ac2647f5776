//! The state of eight blocks, and the transformations of FIPS 197, section 5.
#![expect(clippy::inline_always, reason = "planes stay in registers only within one function, also in builds for size")]

use zeroize::DefaultIsZeroes;

use super::plane::{Plane, Planes};
use super::sbox;
use crate::crypto::block::BLOCK;

/// The number of blocks per batch: a byte of a plane has one bit for each.
pub(super) const LANES: usize = 8;

#[derive(Clone, Copy, Default)]
pub(super) struct State(Planes);

/// Needed to wipe round keys.
impl DefaultIsZeroes for State {}

impl State {
    #[inline(always)]
    pub(super) fn from_blocks(blocks: [[u8; BLOCK]; LANES]) -> Self {
        let [b0, b1, b2, b3, b4, b5, b6, b7] = transposed(each(blocks, Plane::from_bytes));
        Self([b7, b6, b5, b4, b3, b2, b1, b0])
    }

    #[inline(always)]
    pub(super) fn into_blocks(self) -> [[u8; BLOCK]; LANES] {
        let [b7, b6, b5, b4, b3, b2, b1, b0] = self.0;
        each(transposed([b0, b1, b2, b3, b4, b5, b6, b7]), Plane::to_bytes)
    }

    #[inline(always)]
    pub(super) fn add_round_key(self, key: &Self) -> Self {
        Self(sum(self.0, key.0))
    }

    /// Applies the S-box without its constant.
    #[inline(always)]
    pub(super) fn sub_bytes(self) -> Self {
        Self(sbox::substitute(self.0))
    }

    /// The inverse of [`State::sub_bytes`].
    #[inline(always)]
    pub(super) fn sub_bytes_back(self) -> Self {
        Self(sbox::substitute_back(self.0))
    }

    #[inline(always)]
    pub(super) fn shift_rows(self) -> Self {
        Self(each(self.0, Plane::shift_rows))
    }

    #[inline(always)]
    pub(super) fn shift_rows_back(self) -> Self {
        Self(each(self.0, Plane::shift_rows_back))
    }

    /// Replaces a byte `a`, whose next bytes in the column are `b`, `c` and `d`, by `2(a + b) + b + (c + d)`.
    #[inline(always)]
    pub(super) fn mix_columns(self) -> Self {
        let next = each(self.0, Plane::rows_up);
        let pairs = sum(self.0, next);
        Self(sum(sum(double(pairs), next), each(pairs, Plane::rows_up_twice)))
    }

    /// Uses that the inverse polynomial is that of [`State::mix_columns`] times `4x² + 5`.
    #[inline(always)]
    pub(super) fn mix_columns_back(self) -> Self {
        let pairs = sum(self.0, each(self.0, Plane::rows_up_twice));
        Self(sum(self.0, double(double(pairs)))).mix_columns()
    }
}

/// Does what `array::map` does, without a loop.
#[inline(always)]
fn each<T, U>([p0, p1, p2, p3, p4, p5, p6, p7]: [T; 8], change: impl Fn(T) -> U) -> [U; 8] {
    [change(p0), change(p1), change(p2), change(p3), change(p4), change(p5), change(p6), change(p7)]
}

#[inline(always)]
fn sum([a7, a6, a5, a4, a3, a2, a1, a0]: Planes, [b7, b6, b5, b4, b3, b2, b1, b0]: Planes) -> Planes {
    [a7 ^ b7, a6 ^ b6, a5 ^ b5, a4 ^ b4, a3 ^ b3, a2 ^ b2, a1 ^ b1, a0 ^ b0]
}

/// Multiplies the bytes by x, modulo x⁸ + x⁴ + x³ + x + 1.
#[inline(always)]
fn double([b7, b6, b5, b4, b3, b2, b1, b0]: Planes) -> Planes {
    [b6, b5, b4, b3 ^ b7, b2 ^ b7, b1, b0 ^ b7, b7]
}

/// Swaps, in each byte, bit `j` of plane `i` with bit `i` of plane `j`.
#[inline(always)]
fn transposed([p0, p1, p2, p3, p4, p5, p6, p7]: Planes) -> Planes {
    let by_one = |low: Plane, high| low.exchange(high, 1, 0x55);
    let by_two = |low: Plane, high| low.exchange(high, 2, 0x33);
    let by_four = |low: Plane, high| low.exchange(high, 4, 0x0f);
    let [[p0, p1], [p2, p3], [p4, p5], [p6, p7]] = [by_one(p0, p1), by_one(p2, p3), by_one(p4, p5), by_one(p6, p7)];
    let [[p0, p2], [p1, p3], [p4, p6], [p5, p7]] = [by_two(p0, p2), by_two(p1, p3), by_two(p4, p6), by_two(p5, p7)];
    let [[p0, p4], [p1, p5], [p2, p6], [p3, p7]] = [by_four(p0, p4), by_four(p1, p5), by_four(p2, p6), by_four(p3, p7)];
    [p0, p1, p2, p3, p4, p5, p6, p7]
}
