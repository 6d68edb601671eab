//! The rule by which JQ draws a weight: integers from the stored codes to the drawn code.
//!
//! In real numbers, a weight of output channel c is `clamp(round((mu * s_mu[c] + sigma[k] * eps) / s_w[c]))` on the grid
//! of drawn weights; `mu` and `k` are the stored codes, `eps` comes from the table [`GAUSSIAN`]. In integers, with
//! f = [`RowScale::fraction`] fraction bits of a step of the drawn grid:
//!
//! ```text
//! mean      = q15(mu << (16 - mu bits), A[c])         A[c] = s_mu / s_w * 2^(f + mu bits - 1)
//! deviation = q15(eps, q15(T[k], R[c]))               R[c] = sigma[0] / s_w * 2^(f + 3),  T[k] = sigma[k] / sigma[0] * 2^15
//! up        = 2^(f - 1) to the nearest code, or the rounding byte >> (8 - f) stochastically
//! weight    = clamp((sat(mean + deviation) + up) >> f)
//! ```
//!
//! `sat` saturates to 16 bits, `q15` is [`fixed::q15`](crate::fixed::q15). f is the largest number from 1 to 8 for which A
//! and R fit into 15 bits, channel by channel, so that a weight is known to a 256th of its step wherever sigma is below 16
//! steps and a step of the mean below 2^(8 - mu bits).
//!
//! A file without sigmas draws by the same rule: its deviations are 0, and the grid of drawn weights is that of the means, so
//! that a weight is its stored code. Under MC dropout the weights of a dropped unit are 0 then ([`units`], [`mask_counter`]).
//!
//! Noise: parameter i of a tensor takes byte i of the tensor's noise when draws are rounded to the nearest code, and bytes
//! 2i (table entry) and 2i + 1 (rounding) when they are rounded stochastically. Byte n of a tensor's noise is byte n % 16
//! of Philox block n / 16 at the [`NoiseCounter`] (purpose [`PURPOSE`], tensor, draw).

use crate::code::{Bits, UniformCode};
use crate::fixed::{Log2, exp2, q15};
use crate::model::{Linear, Shape};
use crate::noise::{GAUSSIAN, GAUSSIAN_FRACTION_BITS, NoiseCounter};

/// The `purpose` of the noise that draws weights for prediction.
pub const PURPOSE: u32 = 66;

/// The `purpose` of the noise that drops units under MC dropout.
pub const MASK_PURPOSE: u32 = 67;

/// How a drawn weight meets its grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest code; halves go up. One byte of noise per parameter.
    Nearest,
    /// Up with the probability of the fraction. Two bytes of noise per parameter.
    Stochastic,
}

impl Rounding {
    /// Bytes of noise that each parameter takes.
    pub const fn noise_bytes(self) -> usize {
        match self {
            Rounding::Nearest => 1,
            Rounding::Stochastic => 2,
        }
    }
}

/// Where the noise of a tensor under a draw sits.
pub const fn counter(tensor: u32, draw: u32) -> NoiseCounter {
    NoiseCounter { purpose: PURPOSE, tensor, draw }
}

/// Where the noise sits by which a draw drops units that the layer with this tensor reads. Unit n takes byte n of it, and is
/// dropped where that is below the file's number of 256ths.
pub const fn mask_counter(tensor: u32, draw: u32) -> NoiseCounter {
    NoiseCounter { purpose: MASK_PURPOSE, tensor, draw }
}

/// Units that MC dropout drops, of a linear layer that reads a value of the shape `from`: every number that it reads where
/// its window is the whole input, else the input channels of a group. Weight i of a row reads unit i % units.
pub const fn units(linear: &Linear, from: Shape) -> usize {
    let whole = linear.kernel_rows == from.rows && linear.kernel_columns == from.columns;
    if whole && linear.padding == 0 && linear.groups == 1 { linear.fan_in() } else { linear.group_inputs }
}

/// The ratios of one output channel (one row of a weight tensor): A, R and f of the module's rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowScale {
    /// A: a step of the mean in steps of the drawn weight.
    pub mean: i16,
    /// R: the largest sigma in steps of the drawn weight.
    pub deviation: i16,
    /// f: fraction bits, 1 to 8.
    pub fraction: u8,
}

impl RowScale {
    /// Of a row that is not there: its weights are 0.
    pub const NONE: RowScale = RowScale { mean: 0, deviation: 0, fraction: 8 };

    /// The ratios of a row with these scales: of its means, its drawn weights, and the tensor's largest sigma.
    ///
    /// `None` if a mean's step or the largest sigma is beyond what 15 bits hold even with one fraction bit: 2^11 steps of the
    /// drawn weight for sigma, 2^(15 - mu bits) for the mean's step.
    pub fn new(mu: Log2, weight: Log2, sigma_top: Log2, mu_bits: Bits) -> Option<Self> {
        let (mean, deviation) = (mu as i32 - weight as i32, sigma_top as i32 - weight as i32);
        (1..=8).rev().find_map(|f| {
            let a = i16::try_from(exp2(mean, f + mu_bits.get() - 1)).ok()?;
            let r = i16::try_from(exp2(deviation, f + 3)).ok()?;
            Some(RowScale { mean: a, deviation: r, fraction: f as u8 })
        })
    }

    /// Whether no sum of this row, half a step included, can leave 16 bits: then nothing need saturate.
    pub const fn fits(&self) -> bool {
        // |mean| <= A, |deviation| <= eps * R.
        let largest = q15(GAUSSIAN[255], self.deviation) as i32 + self.mean as i32;
        largest + 256 <= i16::MAX as i32
    }

    /// q15(T, R): a sigma level in this row's units.
    #[inline(always)]
    pub const fn level(&self, level: i16) -> i16 {
        q15(level, self.deviation)
    }

    /// q15(mu << (16 - mu bits), A), of a code in the low bits of a byte; and already 2^(f - 1), if draws are rounded to the
    /// nearest code. That never overflows, and where the saturated sum of mean and deviation then differs from the rule's,
    /// both lie beyond every grid: 2^15 is at least 128 steps.
    #[inline(always)]
    pub const fn mean(&self, mu_bits: Bits, mu: u8, rounding: Rounding) -> i16 {
        let mean = q15(((mu as u16) << (16 - mu_bits.get())) as i16, self.mean);
        match rounding {
            Rounding::Nearest => mean + (1 << (self.fraction - 1)),
            Rounding::Stochastic => mean,
        }
    }
}

/// `T[k] = sigma[k] / sigma[0]` in 15 bits: the level of a code on a logarithmic grid of `step` octaves.
pub fn sigma_level(code: u8, step: Log2) -> i16 {
    exp2(-(code as i32 * step as i32), 15).min(i16::MAX as i64) as i16
}

/// One weight by the rule, word for word: the specification. `mu`: its code in the low bits of the byte; `level`: of
/// [`RowScale::level`]; `noise`: the table byte; `rounding`: the rounding byte, `None` to the nearest code.
pub fn weight(
    row: &RowScale,
    mu_bits: Bits,
    grid: UniformCode,
    mu: u8,
    level: i16,
    noise: u8,
    rounding: Option<u8>,
) -> i8 {
    let mean = q15(((mu as u16) << (16 - mu_bits.get())) as i16, row.mean);
    let deviation = q15(GAUSSIAN[noise as usize], level);
    let f = row.fraction as u32;
    let up = rounding.map_or(1 << (f - 1), |byte| (byte >> (8 - f)) as i32);
    grid.clamp((mean.saturating_add(deviation) as i32 + up) >> f) as i8
}

/// The same weight from its moments, [`RowScale::mean`] and [`RowScale::level`], which are the same for every draw.
#[inline(always)]
pub(crate) fn from_moments(
    fraction: u8,
    grid: UniformCode,
    mean: i16,
    level: i16,
    noise: u8,
    rounding: Option<u8>,
) -> i8 {
    let up = rounding.map_or(0, |byte| (byte >> (8 - fraction)) as i32);
    let sum = mean.saturating_add(q15(GAUSSIAN[noise as usize], level)) as i32 + up;
    grid.clamp(sum >> fraction) as i8
}

/// The ratios of one bias: it is drawn to the units of its channel's accumulator, and not rounded before.
///
/// `bias = (mu * U + q15(eps, T[k]) * V + 2^23) >> 24`, clamped to +-2^30; U and V are a step of the mean (with 24 fraction
/// bits) and the largest sigma (with 12, as eps brings 12) in units of the accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BiasScale {
    /// U.
    pub mean: i64,
    /// V.
    pub deviation: i64,
}

/// The largest magnitude of a drawn bias in its accumulator.
pub const BIAS_LIMIT: i64 = 1 << 30;

const BIAS_FRACTION_BITS: u32 = 24;
/// Beyond it every product is clamped anyway.
const BIAS_RATIO_LIMIT: i64 = 1 << 54;

impl BiasScale {
    /// The ratios for scales of the mean and of the largest sigma, in a channel whose accumulator counts in units of
    /// 2^(`accumulator` / 2048).
    pub fn new(mu: Log2, sigma_top: Log2, accumulator: i32) -> Self {
        let eps = GAUSSIAN_FRACTION_BITS;
        BiasScale {
            mean: exp2(mu as i32 - accumulator, BIAS_FRACTION_BITS).min(BIAS_RATIO_LIMIT),
            deviation: exp2(sigma_top as i32 - accumulator, BIAS_FRACTION_BITS - eps).min(BIAS_RATIO_LIMIT >> eps),
        }
    }

    /// One bias by the rule: its 8-bit mean, its level `T[k]`, its table byte.
    pub fn draw(&self, mu: i8, level: i16, noise: u8) -> i32 {
        self.moments(mu, level).draw(noise)
    }

    /// What is the same for every draw of a bias.
    pub(crate) fn moments(&self, mu: i8, level: i16) -> BiasMoments {
        let half = 1 << (BIAS_FRACTION_BITS - 1);
        BiasMoments { mean: mu as i64 * self.mean + half, deviation: self.deviation, level }
    }
}

/// A bias before it is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BiasMoments {
    mean: i64,
    deviation: i64,
    level: i16,
}

impl BiasMoments {
    #[inline]
    pub fn draw(&self, noise: u8) -> i32 {
        let deviation = q15(GAUSSIAN[noise as usize], self.level) as i64 * self.deviation;
        // |mu| * 2^54 and |eps| * 2^42 stay below 2^62.
        ((self.mean + deviation) >> BIAS_FRACTION_BITS).clamp(-BIAS_LIMIT, BIAS_LIMIT) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::UniformCode::Signed;
    use proptest::prelude::*;

    fn bits(b: u32) -> Bits {
        Bits::new(b).unwrap()
    }

    #[test]
    fn a_weight_worked_by_hand() {
        // A mean of 3 half steps, no noise worth mentioning: 1.5 goes up to 2, -1.5 up to -1.
        let row = RowScale::new(-2048, 0, -16 * 2048, bits(4)).unwrap();
        assert_eq!((row.fraction, row.mean), (8, 1 << 10));
        let draw = |mu: i8| weight(&row, bits(4), Signed(bits(4)), mu as u8, row.level(32767), 128, None);
        assert_eq!((draw(3), draw(-3), draw(-8), draw(7)), (2, -1, -4, 4));
        // Sigma of two steps, largest noise (2.97 of them): 5.94 above the mean.
        let row = RowScale::new(0, 0, 2048, bits(4)).unwrap();
        let draw = |mu: i8, noise| weight(&row, bits(4), Signed(bits(4)), mu as u8, row.level(32767), noise, None);
        assert_eq!((draw(0, 255), draw(0, 0), draw(3, 255), draw(-4, 0)), (6, -6, 7, -8));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn moments_give_the_weight_of_the_rule(
            (mean, deviation, fraction) in (0..=i16::MAX, 0..=i16::MAX, 1u8..=8),
            (mu_bits, weight_bits) in (2u32..=8, 2u32..=8),
            (mu, t) in (any::<u8>(), 0..=i16::MAX),
            (noise, up, stochastic) in any::<(u8, u8, bool)>(),
        ) {
            let (row, mu_bits, grid) = (RowScale { mean, deviation, fraction }, bits(mu_bits), Signed(bits(weight_bits)));
            let mu = mu & (mu_bits.levels() - 1) as u8;
            let (rounding, up) = if stochastic { (Rounding::Stochastic, Some(up)) } else { (Rounding::Nearest, None) };
            for mu in [mu, (mu_bits.levels() / 2) as u8, (mu_bits.levels() / 2 - 1) as u8] {
                let level = row.level(t);
                prop_assert_eq!(
                    from_moments(fraction, grid, row.mean(mu_bits, mu, rounding), level, noise, up),
                    weight(&row, mu_bits, grid, mu, level, noise, up)
                );
            }
        }
    }

    #[test]
    fn a_sigma_of_many_steps_costs_fraction_bits_and_then_is_refused() {
        let fraction = |top| RowScale::new(0, 0, top, bits(4)).map(|r| r.fraction);
        assert_eq!(fraction(3 * 2048), Some(8));
        assert_eq!(fraction(4 * 2048), Some(7));
        assert_eq!(fraction(10 * 2048), Some(1));
        assert_eq!(fraction(11 * 2048), None);
    }

    #[test]
    fn a_bias_lands_in_the_accumulator() {
        // Mean steps of 1/128, an accumulator in units of 1/1024: 8 units a step.
        let bias = BiasScale::new(-7 * 2048, -5 * 2048, -10 * 2048);
        assert_eq!(bias.draw(5, 0, 200), 40);
        assert_eq!(bias.draw(-128, 0, 3), -1024);
        // Sigma 32 units, noise 2.97.
        assert_eq!(bias.draw(0, 32767, 255), 95);
        let huge = BiasScale::new(15 * 2048, 15 * 2048, -30 * 2048);
        assert_eq!(huge.draw(127, 32767, 255) as i64, BIAS_LIMIT);
        assert_eq!(huge.draw(-128, 32767, 0) as i64, -BIAS_LIMIT);
    }

    #[test]
    fn stochastic_rounding_keeps_the_mean() {
        let row = RowScale::new(-3 * 2048, 0, -16 * 2048, bits(4)).unwrap();
        for mu in -8i8..8 {
            let sum: i32 =
                (0..=255u8).map(|r| weight(&row, bits(4), Signed(bits(4)), mu as u8, 0, 0, Some(r)) as i32).sum();
            assert_eq!(sum, mu as i32 * 32);
        }
    }
}
