//! The S-box of AES and its inverse as Boolean circuits, which run in constant time.
//!
//! J. Boyar, R. Peralta: "A depth-16 circuit for the AES S-box" (2011) shows that both have the same middle, the inversion
//! in GF(2⁸), between different linear layers. The linear layers of the S-box, and the middle, are from the circuit of 113
//! gates by these authors and Ç. Çalık. The linear layers of the inverse are from the paper.
//!
//! Both omit the constant of the S-box, which [`super::key_schedule`] adds.
#![expect(clippy::inline_always, reason = "planes stay in registers only within one function, also in builds for size")]

use super::plane::{Plane, Planes};

/// The input of the inversion, from the linear layer: an element of GF(2⁸) over GF(2⁴).
struct Element {
    /// The two halves, each as the nine sums of its bits that a product in GF(2⁴) needs.
    halves: [Sums; 2],
    /// The remaining terms of the norm, in addition to the product of the halves.
    rest: [Plane; 4],
}

type Sums = [Plane; 9];

#[inline(always)]
pub(super) fn substitute([x0, x1, x2, x3, x4, x5, x6, x7]: Planes) -> Planes {
    let y14 = x3 ^ x5;
    let y13 = x0 ^ x6;
    let y9 = x0 ^ x3;
    let y8 = x0 ^ x5;
    let t0 = x1 ^ x2;
    let y1 = t0 ^ x7;
    let y4 = y1 ^ x3;
    let y12 = y13 ^ y14;
    let y2 = y1 ^ x0;
    let y5 = y1 ^ x6;
    let y3 = y5 ^ y8;
    let t1 = x4 ^ y12;
    let y15 = t1 ^ x5;
    let y20 = t1 ^ x1;
    let y6 = y15 ^ x7;
    let y10 = y15 ^ t0;
    let y11 = y20 ^ y9;
    let y7 = x7 ^ y11;
    let y17 = y10 ^ y11;
    let y19 = y10 ^ y8;
    let y16 = t0 ^ y11;
    let y21 = y13 ^ y16;
    let y18 = x0 ^ y16;

    let [[z0, z1, z2, z3, z4, z5, z6, z7, z8], [z9, z10, z11, z12, z13, z14, z15, z16, z17]] = invert(Element {
        halves: [[y15, y6, x7, y16, y1, y7, y11, y17, y10], [y12, y3, y4, y13, y5, y2, y9, y14, y8]],
        rest: [y20, y19, y21, y18],
    });

    let c1 = z15 ^ z16;
    let c2 = z10 ^ c1;
    let c3 = z9 ^ c2;
    let c4 = z0 ^ z2;
    let c5 = z1 ^ z0;
    let c6 = z3 ^ z4;
    let c7 = z12 ^ c4;
    let c8 = z7 ^ c6;
    let c9 = z8 ^ c7;
    let c10 = c8 ^ c9;
    let c11 = c6 ^ c5;
    let c12 = z3 ^ z5;
    let c13 = z13 ^ c1;
    let c14 = c4 ^ c12;
    let c16 = z6 ^ c8;
    let c17 = z14 ^ c10;
    let c18 = c13 ^ c14;
    let c20 = z15 ^ c16;
    let c21 = c2 ^ z11;
    let c26 = c17 ^ c20;
    let s3 = c3 ^ c11;
    [c3 ^ c16, s3 ^ c16, c26 ^ z17, s3, c14 ^ s3, c21 ^ c17, c10 ^ c18, z12 ^ c18]
}

#[inline(always)]
pub(super) fn substitute_back([u0, u1, u2, u3, u4, u5, u6, u7]: Planes) -> Planes {
    let t23 = u0 ^ u3;
    let t22 = u1 ^ u3;
    let t2 = u0 ^ u1;
    let t1 = u3 ^ u4;
    let t24 = u4 ^ u7;
    let r5 = u6 ^ u7;
    let t8 = u1 ^ t23;
    let t19 = t22 ^ r5;
    let t9 = u7 ^ t1;
    let t10 = t2 ^ t24;
    let t13 = t2 ^ r5;
    let t3 = t1 ^ r5;
    let t25 = u2 ^ t1;
    let r13 = u1 ^ u6;
    let t17 = u2 ^ t19;
    let t20 = t24 ^ r13;
    let t4 = u4 ^ t8;
    let r17 = u2 ^ u5;
    let r18 = u5 ^ u6;
    let r19 = u2 ^ u4;
    let y5 = u0 ^ r17;
    let t6 = t22 ^ r17;
    let t16 = r13 ^ r19;
    let t27 = t1 ^ r18;
    let t15 = t10 ^ t27;
    let t14 = t10 ^ r18;
    let t26 = t3 ^ t16;

    let [[m46, m47, m48, m49, m50, m51, m52, m53, m54], [m55, m56, m57, m58, m59, m60, m61, m62, m63]] =
        invert(Element {
            halves: [[t6, t8, y5, t16, t9, t17, t15, t27, t10], [t13, t23, t19, t3, t22, t20, t1, t4, t2]],
            rest: [t14, t24, t26, t25],
        });

    let p0 = m52 ^ m61;
    let p1 = m58 ^ m59;
    let p2 = m54 ^ m62;
    let p3 = m47 ^ m50;
    let p4 = m48 ^ m56;
    let p5 = m46 ^ m51;
    let p6 = m49 ^ m60;
    let p7 = p0 ^ p1;
    let p8 = m50 ^ m53;
    let p9 = m55 ^ m63;
    let p10 = m57 ^ p4;
    let p11 = p0 ^ p3;
    let p12 = m46 ^ m48;
    let p13 = m49 ^ m51;
    let p14 = m49 ^ m62;
    let p15 = m54 ^ m59;
    let p16 = m57 ^ m61;
    let p17 = m58 ^ p2;
    let p18 = m63 ^ p5;
    let p19 = p2 ^ p3;
    let p20 = p4 ^ p6;
    let p22 = p2 ^ p7;
    let p23 = p7 ^ p8;
    let p24 = p5 ^ p7;
    let p25 = p6 ^ p10;
    let p26 = p9 ^ p11;
    let p27 = p10 ^ p18;
    let p28 = p11 ^ p25;
    let p29 = p15 ^ p20;
    [p13 ^ p22, p26 ^ p29, p17 ^ p28, p12 ^ p22, p23 ^ p27, p19 ^ p24, p14 ^ p23, p9 ^ p16]
}

/// Multiplies the inverse of the norm by each half. The final sums of the products are part of the linear layers.
#[inline(always)]
fn invert(Element { halves: [low, high], rest: [y20, y19, y21, y18] }: Element) -> [Sums; 2] {
    let [t2, t3, t5, t7, t8, t10, t12, t13, t15] = products(low, high);
    let t14 = t13 ^ t12;
    let t16 = t15 ^ t12;
    let t21 = t3 ^ t2 ^ t14 ^ y20;
    let t22 = t5 ^ t2 ^ t16 ^ y19;
    let t23 = t8 ^ t7 ^ t14 ^ y21;
    let t24 = t10 ^ t7 ^ t16 ^ y18;

    let t25 = t21 ^ t22;
    let t26 = t21 & t23;
    let t27 = t24 ^ t26;
    let t29 = (t25 & t27) ^ t22;
    let t33 = ((t22 ^ t26) & (t23 ^ t24)) ^ t24;
    let t36 = t24 & (t27 ^ t33);
    let t37 = t36 ^ t23 ^ t33;
    let t40 = t25 ^ (t29 & (t27 ^ t36));

    let t41 = t40 ^ t37;
    let t42 = t29 ^ t33;
    let inverse = [t33 ^ t37, t37, t33, t29 ^ t40, t40, t29, t42, t42 ^ t41, t41];
    [products(inverse, low), products(inverse, high)]
}

#[inline(always)]
fn products([a0, a1, a2, a3, a4, a5, a6, a7, a8]: Sums, [b0, b1, b2, b3, b4, b5, b6, b7, b8]: Sums) -> Sums {
    [a0 & b0, a1 & b1, a2 & b2, a3 & b3, a4 & b4, a5 & b5, a6 & b6, a7 & b7, a8 & b8]
}
