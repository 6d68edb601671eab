//! Fixed-point arithmetic: the three rules in which all real numbers of a quantized network are expressed.
//!
//! 1. A *scale* is stored as its base-2 logarithm in 2048ths of an octave ([`Log2`]): sixteen bits reach from 2^-16 to
//!    2^16 within 0.017 %, products of scales are sums, and the trainer learns its scales in this form anyway.
//!    [`exp2`] turns a sum of them into an integer.
//! 2. Short products use [`q15`], the rounding product of two 16-bit fractions. It is one instruction almost everywhere
//!    (`pmulhrsw`, `sqrdmulh`, `i16x8.q15mulr_sat_s`).
//! 3. Accumulators are rescaled by [`requantize`]: a 32-bit multiplier, a shift, and halves rounded upwards.

/// A base-2 logarithm in units of 1/2048 octave: the scale 2^(value / 2048).
pub type Log2 = i16;

/// Units of [`Log2`] in an octave.
pub const OCTAVE: i32 = 2048;

/// Fraction bits of a wide value: an `i32` of 65,536 is the real number 1.
pub const WIDE_FRACTION_BITS: u32 = 16;

/// `ROOTS[i]` = 2^(2^-(i+1)) with 62 fraction bits.
const ROOTS: [u64; 11] = {
    let mut roots = [0u64; 11];
    let mut square = 1u128 << 125;
    let mut i = 0;
    while i < 11 {
        roots[i] = square.isqrt() as u64;
        square = (roots[i] as u128) << 62;
        i += 1;
    }
    roots
};

/// 2^(`log2` / 2048) * 2^`fraction_bits`, at most 2^62: to the nearest integer below 2^46, beyond that with a relative error below 2^-56.
pub const fn exp2(log2: i32, fraction_bits: u32) -> i64 {
    let (octaves, part) = (log2 >> 11, log2 & 2047);
    let mut mantissa = 1u64 << 62;
    let mut i = 0;
    while i < 11 {
        if part >> (10 - i) & 1 == 1 {
            mantissa = ((mantissa as u128 * ROOTS[i] as u128) >> 62) as u64;
        }
        i += 1;
    }
    let shift = 62 - (octaves as i64 + fraction_bits as i64);
    if shift <= 0 {
        1 << 62
    } else if shift > 63 {
        0
    } else {
        ((mantissa >> (shift - 1)).div_ceil(2)) as i64
    }
}

/// The rounding product of two fractions of 15 bits: (a * b + 2^14) >> 15. `a` and `b` must not both be -32768.
#[inline(always)]
pub const fn q15(a: i16, b: i16) -> i16 {
    ((a as i32 * b as i32 + (1 << 14)) >> 15) as i16
}

/// An accumulator in another scale: floor(value * multiplier / 2^shift + 1/2), `shift` in 1..=62, `multiplier` >= 0.
#[inline(always)]
pub const fn requantize(value: i32, multiplier: i32, shift: u32) -> i64 {
    (value as i64 * multiplier as i64 + (1 << (shift - 1))) >> shift
}

/// The shift at which the multiplier of the largest of several ratios, 2^(`log2` / 2048), fills 31 bits.
///
/// Multiplier of each ratio: `exp2(log2, shift)`. `None` if the ratio is below 2^-32, or 2^30 or more.
pub const fn shift_for(log2: i32) -> Option<u32> {
    let shift = 30 - (log2 >> 11);
    if shift >= 1 && shift <= 62 { Some(shift as u32) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;

    #[test]
    fn powers_of_two_are_exact_and_others_close() {
        assert_eq!(exp2(0, 20), 1 << 20);
        assert_eq!(exp2(-3 * OCTAVE, 20), 1 << 17);
        assert_eq!(exp2(5 * OCTAVE, 0), 32);
        assert_eq!(exp2(OCTAVE, 61), 1 << 62);
        assert_eq!(exp2(100 * OCTAVE, 0), 1 << 62);
        assert_eq!(exp2(-100 * OCTAVE, 30), 0);
        // The ends of what has a shift.
        let ends = [-32 * OCTAVE - 1, -32 * OCTAVE, 30 * OCTAVE - 1, 30 * OCTAVE].map(shift_for);
        assert_eq!(ends, [None, Some(62), Some(1), None]);
        for log2 in -20 * OCTAVE..=20 * OCTAVE {
            let exact = (log2 as f64 / OCTAVE as f64 + 40.0).exp2();
            assert!((exp2(log2, 40) as f64 - exact).abs() <= 0.5 + exact * 1e-14, "{log2}");
        }
    }

    #[test]
    fn rounding_worked_by_hand() {
        assert_eq!(q15(1 << 14, 3), 2, "1.5 goes up");
        assert_eq!(q15(1 << 14, -3), -1, "-1.5 goes up too");
        assert_eq!(requantize(3, 1, 1), 2);
        assert_eq!(requantize(-3, 1, 1), -1);
        assert_eq!(requantize(i32::MAX, i32::MAX, 31), i32::MAX as i64 - 1);
        assert_eq!(shift_for(0), Some(30));
        assert_eq!(shift_for(-1), Some(31));
        assert_eq!(exp2(-1, 31) >> 31, 0);
    }
}
