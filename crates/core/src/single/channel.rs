//! The constants of a channel: what its stored scales stand for, worked out or kept in bytes.

use super::place::Fused;
use crate::draw::{BiasScale, RowScale, sigma_level};
use crate::fixed::{OCTAVE, WIDE_FRACTION_BITS, exp2};
use crate::model::{Codes, Grid, Model};
use crate::pack;
use crate::run::constants::below_zero;
use crate::run::plan::leaky;

/// Bytes of a channel's constants.
pub(super) const BYTES: usize = 32;

/// Everything that a channel's scales stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    pub row: RowScale,
    pub bias: BiasScale,
    /// Level of the bias's sigma.
    pub bias_level: i16,
    /// What a sum is rescaled by, and a negative one.
    pub multiplier: i32,
    pub negative: i32,
}

impl Channel {
    /// Of a channel of a linear layer with these codes, which reads a value of the grid `input`.
    pub fn new(model: &Model<'_>, codes: &Codes<'_>, input: Grid, fused: &Fused, channel: usize) -> Self {
        let weight = codes.weight_scales.get(channel);
        let accumulator = weight as i32 + input.log2_step;
        // A checked model has widths and scales that fit.
        let row = model
            .mu_bits()
            .and_then(|bits| RowScale::new(codes.mu_scales.get(channel), weight, codes.sigma_top(), bits));
        let wide = -(WIDE_FRACTION_BITS as i32) * OCTAVE;
        let output = fused.activation.map_or(wide, |a| a.log2_step as i32);
        let multiplier = exp2(accumulator - output, fused.shift).min(i32::MAX as i64);
        let negative = match &fused.activation {
            Some(a) if leaky(a) => below_zero(multiplier, a.slope),
            _ => multiplier as i32,
        };
        let code = model.sigma_code().and_then(|sigma| pack::get(codes.bias_sigma, channel, sigma.0));
        Channel {
            row: row.unwrap_or(RowScale::NONE),
            bias: BiasScale::new(codes.bias_mu_scale(), codes.bias_sigma_top(), accumulator),
            bias_level: code.map_or(0, |code| sigma_level(code, codes.bias_sigma_step())),
            multiplier: multiplier as i32,
            negative,
        }
    }

    /// As bytes.
    pub fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &self.bias.mean.to_le_bytes());
        put(8, &self.bias.deviation.to_le_bytes());
        put(16, &self.multiplier.to_le_bytes());
        put(20, &self.negative.to_le_bytes());
        put(24, &self.row.mean.to_le_bytes());
        put(26, &self.row.deviation.to_le_bytes());
        put(28, &self.bias_level.to_le_bytes());
        put(30, &[self.row.fraction]);
        bytes
    }

    /// From bytes.
    pub fn of_bytes(bytes: &[u8; BYTES]) -> Self {
        let part = |at: usize| -> [u8; 8] { core::array::from_fn(|i| bytes[at + i]) };
        let long = |at: usize| i64::from_le_bytes(part(at));
        let word = |at: usize| i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let half = |at: usize| i16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Channel {
            row: RowScale { mean: half(24), deviation: half(26), fraction: bytes[30] },
            bias: BiasScale { mean: long(0), deviation: long(8) },
            bias_level: half(28),
            multiplier: word(16),
            negative: word(20),
        }
    }
}

/// Bytes of the levels of sigma of one layer: two for each.
pub(super) fn levels_bytes(model: &Model<'_>) -> usize {
    2 * model.sigma_code().map_or(0, |sigma| sigma.0.levels() as usize)
}

/// Writes the levels of a layer's sigmas.
pub(super) fn write_levels(codes: &Codes<'_>, levels: &mut [u8]) {
    for (code, level) in levels.chunks_exact_mut(2).enumerate() {
        level.copy_from_slice(&sigma_level(code as u8, codes.sigma_step()).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_keep_everything(
            (mean, deviation, fraction) in any::<(i16, i16, u8)>(),
            (bias_mean, bias_deviation, bias_level) in any::<(i64, i64, i16)>(),
            (multiplier, negative) in any::<(i32, i32)>(),
        ) {
            let channel = Channel {
                row: RowScale { mean, deviation, fraction },
                bias: BiasScale { mean: bias_mean, deviation: bias_deviation },
                bias_level,
                multiplier,
                negative,
            };
            prop_assert_eq!(Channel::of_bytes(&channel.to_bytes()), channel);
        }
    }
}
