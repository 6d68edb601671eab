//! Elementary functions in the shape that a vectorizing compiler wants: no branch, no table, no call.
//!
//! `f32::exp` and its kin are calls into the platform's library, one number at a time and different on every platform.
//! These are within 3e-7 (relative for `exp`, absolute for the others) of the exact value; the tests say so.

use std::f32::consts::{LN_2, LOG2_E, TAU};

/// Adding and subtracting it rounds an f32 below 2^22 to the nearest integer.
const ROUNDER: f32 = 12_582_912.0;

/// Runs `f` compiled for the widest vectors that this CPU has.
#[inline]
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// `into += from`
pub fn add(into: &mut [f32], from: &[f32]) {
    vectorized(
        #[inline(always)]
        || into.iter_mut().zip(from).for_each(|(a, b)| *a += b),
    );
}

/// Replaces each of `into` by the first of what `f(a, b, into)` gives, and returns the sums of the other two: a gradient
/// on its way through a quantizer, and what the quantizer learns. Sums are taken in lanes; `f` must be
/// `#[inline(always)]`.
#[inline(always)]
pub fn straight_through(
    a: &[f32],
    b: &[f32],
    into: &mut [f32],
    f: impl Fn(f32, f32, f32) -> (f32, [f32; 2]),
) -> [f32; 2] {
    const LANES: usize = 32;
    vectorized(
        #[inline(always)]
        || {
            let (mut first, mut second) = ([0.0f32; LANES], [0.0f32; LANES]);
            let (a, a_rest) = a.as_chunks::<LANES>();
            let (b, b_rest) = b.as_chunks::<LANES>();
            let (into, into_rest) = into.as_chunks_mut::<LANES>();
            for ((a, b), into) in a.iter().zip(b).zip(into) {
                let mut out = *into;
                for i in 0..LANES {
                    let (value, sums) = f(a[i], b[i], out[i]);
                    out[i] = value;
                    first[i] += sums[0];
                    second[i] += sums[1];
                }
                *into = out;
            }
            for (i, ((&a, &b), into)) in a_rest.iter().zip(b_rest).zip(into_rest).enumerate() {
                let (value, sums) = f(a, b, *into);
                *into = value;
                first[i] += sums[0];
                second[i] += sums[1];
            }
            [first.iter().sum(), second.iter().sum()]
        },
    )
}

/// The nearest integer, ties to even, for |x| < 2^22.
#[inline(always)]
pub fn round(x: f32) -> f32 {
    (x + ROUNDER) - ROUNDER
}

/// [`round`], and the same as an integer: it lies in the low bits of the sum. (A cast would saturate, lane by lane.)
#[inline(always)]
fn round_both(x: f32) -> (f32, i32) {
    let sum = x + ROUNDER;
    (sum - ROUNDER, sum.to_bits().wrapping_sub(ROUNDER.to_bits()) as i32)
}

/// e^x, x clamped to [-87, 88].
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let (n, exponent) = round_both(x * LOG2_E);
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.0 / 720.0;
    for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + c;
    }
    p * f32::from_bits(((exponent + 127) as u32) << 23)
}

/// Natural logarithm of a positive normal number.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    // Mantissa in [sqrt(1/2), sqrt(2)): subtract the bits of sqrt(1/2) before taking the exponent.
    let shifted = bits.wrapping_sub(0x3f35_04f3) as i32;
    let e = (shifted >> 23) as f32;
    let m = f32::from_bits(bits.wrapping_sub((shifted as u32) & 0xff80_0000));
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let mut p = 1.0 / 9.0;
    for c in [1.0 / 7.0, 0.2, 1.0 / 3.0, 1.0] {
        p = p * s2 + c;
    }
    e * LN_2 + 2.0 * s * p
}

/// Cosine and sine of a full turn times `v`, v in [0, 1].
#[inline(always)]
pub fn cos_sin_turn(v: f32) -> (f32, f32) {
    let (quarter, q) = round_both(v * 4.0);
    let t = (v - quarter * 0.25) * TAU;
    let t2 = t * t;
    let sin = t * (1.0 + t2 * (-1.0 / 6.0 + t2 * (1.0 / 120.0 + t2 * (-1.0 / 5040.0 + t2 * (1.0 / 362_880.0)))));
    let cos = 1.0 + t2 * (-0.5 + t2 * (1.0 / 24.0 + t2 * (-1.0 / 720.0 + t2 * (1.0 / 40_320.0))));
    let (c, s) = if q & 1 == 0 { (cos, sin) } else { (sin, cos) };
    let c = if (q + 1) & 2 == 0 { c } else { -c };
    let s = if q & 2 == 0 { s } else { -s };
    (c, s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_library() {
        for i in 0..200_000 {
            let t = i as f32 / 200_000.0;
            let x = (t - 0.5) * 160.0;
            assert!((exp(x) as f64 / (x as f64).exp() - 1.0).abs() < 3e-7, "exp {x}");
            let y = (t * 60.0 - 30.0).exp2();
            assert!((ln(y) as f64 - (y as f64).ln()).abs() < 3e-7 * (y as f64).ln().abs().max(1.0), "ln {y}");
            let (c, s) = cos_sin_turn(t);
            let turn = t as f64 * std::f64::consts::TAU;
            assert!((c as f64 - turn.cos()).abs() < 3e-7 && (s as f64 - turn.sin()).abs() < 3e-7, "turn {t}");
        }
    }
}
