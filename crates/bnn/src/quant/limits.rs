//! What a model file can hold of the parameters of quantizers. Training stays within it, so that the network that is trained is
//! the network that is stored; [`crate::export`] finds nothing left to clamp.
//!
//! What a limit costs is bounded, and stated where it stands. Large scales have no limit here: a file that cannot hold one
//! says which.

use super::activation::ActivationGrids;
use super::file::{BELOW, LEAST, at_least, at_most, snapped};
use super::mu::MuQuantizer;
use super::quantizers::Quantizers;
use super::sigma::SigmaQuantizer;
use qbnn_core::UniformCode;

/// Octaves by which the largest sigma of a tensor may exceed a channel's step of drawn weights, of which the runtime's
/// 16-bit draw holds 2^11. Where one channel is that much wider than another, the steps of the narrow one become coarser:
/// its drawn weights are off by at most 2^-11 of the largest sigma.
const SIGMA_OCTAVES: f32 = 11.0 - BELOW;
/// Octaves, the width of the means included, by which a step of the means may exceed one of drawn weights. The error that
/// this may cost is below the rounding of the means themselves.
const MEAN_OCTAVES: f32 = 15.0 - BELOW;
impl Quantizers {
    /// Moves every parameter that a model file cannot hold to the nearest that it can, where the loss is bounded.
    pub fn limit(&mut self) {
        for grids in &mut self.tensors {
            let scales = grids.mu.iter_mut().flat_map(|q| &mut q.log2_scales);
            for scale in scales.chain(grids.weight.iter_mut().flat_map(|q| &mut q.log2_scales)) {
                at_least(LEAST, scale);
            }
            let largest = grids.sigma.as_mut().and_then(SigmaQuantizer::limit).unwrap_or(f32::NEG_INFINITY);
            let Some(weight) = &mut grids.weight else { continue };
            for (i, scale) in weight.log2_scales.iter_mut().enumerate() {
                at_least(largest - SIGMA_OCTAVES, scale);
                if let Some(MuQuantizer { code: UniformCode::Signed(b) | UniformCode::Unsigned(b), log2_scales }) =
                    &grids.mu
                {
                    let mean = log2_scales[i.min(log2_scales.len() - 1)];
                    at_least(mean - (MEAN_OCTAVES - b.get() as f32), scale);
                }
            }
        }
        let Some(ActivationGrids { log2_steps, ceilings, .. }) = &mut self.activations else { return };
        for (step, ceiling) in log2_steps.iter_mut().zip(ceilings) {
            if let Some(ceiling) = ceiling {
                // With a longer step the ceiling itself would round to zero, and every value with it.
                at_most(ceiling.log2() + 1.0 - BELOW, step);
            }
            at_least(LEAST, step);
        }
    }

    /// Rounds every parameter to the nearest that a model file holds: a number of 2048ths of an octave.
    pub(crate) fn snap(&mut self) {
        self.limit();
        for grids in &mut self.tensors {
            let scales = grids.mu.iter_mut().flat_map(|q| &mut q.log2_scales);
            scales.chain(grids.weight.iter_mut().flat_map(|q| &mut q.log2_scales)).for_each(|s| *s = snapped(*s));
            grids.sigma.iter_mut().for_each(SigmaQuantizer::snap);
        }
        self.activations.iter_mut().flat_map(|q| &mut q.log2_steps).for_each(|s| *s = snapped(*s));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

    use crate::checkpoint::Checkpoint;
    use crate::data::{Normalisation, TrainData};
    use crate::nn::{NetworkSpec, Shape};
    use crate::posterior::Posterior;
    use crate::quant::settings::{BitWidths, Calibration, QuantizeSettings, Rounding, Strategy};
    use crate::settings::TrainSettings;
    use crate::verify;
    use proptest::prelude::*;
    use qbnn_core::ImagesView;

    const SHAPE: Shape = Shape { channels: 2, rows: 5, columns: 5 };
    const IMAGES: usize = 32;

    /// A network with three linear layers whose channels (mean, sigma) and biases are multiplied by powers of two.
    fn scaled(octaves: &[(usize, [i32; 3])]) -> Checkpoint {
        let layers = serde_json::json!([
            { "type": "conv", "out": 6, "kernel": 3 },
            { "type": "relu" },
            { "type": "average-pool", "size": 2 },
            { "type": "dense", "out": 7 },
            { "type": "leaky-relu", "slope": 0.25 },
            { "type": "dense", "out": 3 },
        ]);
        let spec: NetworkSpec = serde_json::from_value(serde_json::json!({ "name": "wide", "layer": layers })).unwrap();
        let pixels = Normalisation { mean: 0.3, std: 0.3 };
        let settings = TrainSettings { initial_sigma: 0.05, ..TrainSettings::default() };
        let mut checkpoint = Checkpoint::new(&spec, SHAPE, 3, pixels, 4, settings).unwrap();
        let tensors = checkpoint.net().tensors.clone();
        let Posterior::Gaussian(posterior) = &mut checkpoint.guide.posterior else { panic!("not Gaussian") };
        let channels = tensors.iter().filter(|t| !t.bias).map(|t| t.channels).sum::<usize>();
        for &(channel, [mean, sigma, bias]) in octaves {
            let mut at = channel % channels;
            for pair in tensors.chunks_exact(2) {
                let [weight, biases] = pair else { continue };
                if at >= weight.channels {
                    at -= weight.channels;
                    continue;
                }
                let row = weight.range.len() / weight.channels;
                for i in weight.range.start + at * row..weight.range.start + (at + 1) * row {
                    posterior.mu[i] *= (mean as f32).exp2();
                    posterior.log_sigma[i] += sigma as f32 * std::f32::consts::LN_2;
                }
                posterior.mu[biases.range.start + at] = 0.1 * (bias as f32).exp2();
                posterior.log_sigma[biases.range.start + at] += bias as f32 * std::f32::consts::LN_2;
                break;
            }
        }
        checkpoint
    }

    fn exported(float: Checkpoint, settings: QuantizeSettings) -> Result<Vec<u8>, crate::BnnError> {
        let pixels: Vec<u8> = (0..SHAPE.len() * IMAGES).map(|i| (i * i * 31 + i * 7) as u8).collect();
        let images = ImagesView { shape: SHAPE, pixels: &pixels };
        let labels: Vec<u16> = (0..IMAGES).map(|i| (i % 3) as u16).collect();
        let pairs: Vec<(u32, u16)> = labels.iter().enumerate().map(|(i, &l)| (i as u32, l)).collect();
        let data = TrainData::of_pairs(images, &pairs, images, &labels);
        verify::export(&Checkpoint::quantized(float, settings, &data)?, images)
    }

    fn settings(strategy: Strategy, bits: [u32; 4], fit: Calibration) -> QuantizeSettings {
        let [mu, sigma, weight, activation] = bits;
        let rounding = if mu % 2 == 0 { Rounding::Nearest } else { Rounding::Stochastic };
        let all = BitWidths { mu, sigma, weight, activation };
        let bits = match strategy {
            Strategy::Vpq => BitWidths { weight: 32, ..all },
            Strategy::Spq => BitWidths { mu: 32, sigma: 32, ..all },
            Strategy::Jq => all,
        };
        QuantizeSettings { strategy, bits, fit, rounding, calibration: IMAGES, ..QuantizeSettings::default() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn dead_tiny_and_wide_channels_have_a_file(
            octaves in prop::collection::vec((0usize..16, [-60i32..6, -60i32..6, -60i32..4]), 1..6),
            bits in [2u32..9, 2u32..9, 2u32..9, 2u32..9],
            which in 0usize..3,
            fit in prop_oneof![Just(Calibration::Prediction), Just(Calibration::WeightedError), Just(Calibration::Error), Just(Calibration::Range)],
        ) {
            let found = exported(scaled(&octaves), settings(Strategy::ALL[which], bits, fit));
            prop_assert!(found.is_ok(), "{}", found.unwrap_err());
        }
    }

    #[test]
    fn one_wide_channel_does_not_keep_the_others_out() {
        for wide in [3, 6, 10] {
            let settings = settings(Strategy::Jq, [8; 4], Calibration::WeightedError);
            exported(scaled(&[(0, [wide - 2, wide, 0]), (1, [-8, -8, 0])]), settings).unwrap();
        }
    }

    #[test]
    fn what_no_file_holds_is_named() {
        let error =
            exported(scaled(&[(2, [30, 0, 0])]), settings(Strategy::Jq, [4; 4], Calibration::Range)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("conv1.weight.mu.log2_scale` of channel 3") && error.contains("2^16"), "{error}");
    }
}
