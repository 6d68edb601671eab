//! Averages of codes: what the integer runtime makes of a pool, and the gradient that passes it.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use qbnn_bnn::internals::nn::network::Codes;
use qbnn_bnn::internals::nn::pass::{ActivationQuantizer, BLOCK, Gradient, WeightSample, Workspace};
use qbnn_bnn::internals::quant::activation::QuantizedActivations;
use qbnn_bnn::{Activation, Network, NetworkSpec, Normalisation, Shape};
use qbnn_core::Bits;
use serde_json::json;

const PIXELS: Normalisation = Normalisation { mean: 33.0 / 255.0, std: 0.3081 };

/// `docs/file-format.md`: of b bits to 8, zero byte shifted likewise, halves up.
fn machine(sum: u64, window: u64, bits: u32) -> u64 {
    ((sum << (8 - bits)) * 2 + window) / (2 * window)
}

#[test]
fn every_sum_of_every_window_and_width_is_rounded_as_the_machine_does() {
    for bits in 2..=8 {
        for log2_step in [-7.3f32, -0.123, 0.0, 3.77] {
            let activations =
                QuantizedActivations { bits: Bits::new(bits).unwrap(), log2_steps: &[log2_step], pixels: PIXELS };
            for size in 1..=8u64 {
                let window = size * size;
                // Bytes of signed codes have their zero in the middle, which must not matter.
                for zero in [0, 1i64 << (bits - 1)] {
                    let sums = 0..=window * ((1 << bits) - 1);
                    let step = log2_step.exp2();
                    let mean = |sum: u64| (sum as i64 - zero * window as i64) as f32 * step / window as f32;
                    let mut means: Vec<f32> = sums.clone().map(mean).collect();
                    activations.average(Codes::Activation(0), window as usize, &mut means);
                    let finer = step / (1 << (8 - bits)) as f32;
                    for (sum, found) in sums.zip(means) {
                        let wanted = machine(sum, window, bits) as i64 - (zero << (8 - bits));
                        let code = found / finer;
                        assert!((code - wanted as f32).abs() < 1e-3, "{bits} bits, {window}: {sum} gives {code}");
                    }
                }
                let sums = 0..=window * 255;
                let mean = |sum: u64| (sum as f32 / window as f32 / 255.0 - PIXELS.mean) / PIXELS.std;
                let mut means: Vec<f32> = sums.clone().map(mean).collect();
                activations.average(Codes::Image, window as usize, &mut means);
                for (sum, found) in sums.zip(means) {
                    let pixel = (found * PIXELS.std + PIXELS.mean) * 255.0;
                    let wanted = machine(sum, window, 8) as f32;
                    assert!((pixel - wanted).abs() < 1e-3, "pixels, {window}: {sum} gives {pixel}");
                }
            }
        }
    }
}

/// Quantized activations whose averages stay as they are.
struct Exact<'a>(QuantizedActivations<'a>);

impl ActivationQuantizer for Exact<'_> {
    fn parameters(&self) -> usize {
        self.0.parameters()
    }
    fn forward(&self, index: usize, function: Activation, x: &[f32], y: &mut [f32]) {
        self.0.forward(index, function, x, y);
    }
    fn backward(
        &self,
        index: usize,
        function: Activation,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        d_params: &mut [f32],
    ) {
        self.0.backward(index, function, x, dy, dx, d_params);
    }
}

#[test]
fn the_gradient_goes_straight_through() {
    let layers = json!([
        { "type": "conv", "out": 2, "kernel": 3 }, { "type": "relu" },
        { "type": "average-pool", "size": 2, "stride": 1 }, { "type": "conv", "out": 3, "kernel": 3 },
    ]);
    let spec: NetworkSpec = serde_json::from_value(json!({ "name": "averages", "layer": layers })).unwrap();
    let net = Network::new(&spec, Shape { channels: 1, rows: 6, columns: 6 }, 3).unwrap();
    let weights: Vec<f32> = (0..net.parameters()).map(|i| ((i * 37) % 23) as f32 / 23.0 - 0.4).collect();
    let of = |activations: &dyn ActivationQuantizer| {
        let mut workspace = Workspace::default();
        let input = workspace.input(&net).input;
        input.iter_mut().enumerate().for_each(|(i, x)| *x = ((i * 61) % 97) as f32 / 97.0 - 0.3);
        workspace.forward(&net, WeightSample::Drawn(&weights), activations);
        let logits = workspace.logits(&net).to_vec();
        let upstream: Vec<f32> = (0..3 * BLOCK).map(|i| (i % 7) as f32 - 3.0).collect();
        let mut gradient = Gradient::default();
        gradient.reset(net.parameters(), false, activations.parameters());
        workspace.backward(&net, WeightSample::Drawn(&weights), activations, &upstream, &mut gradient);
        (logits, gradient)
    };
    let activations = || QuantizedActivations { bits: Bits::new(4).unwrap(), log2_steps: &[-2.6], pixels: PIXELS };
    let ((rounded, through), (exact, wanted)) = (of(&activations()), of(&Exact(activations())));
    assert_ne!(rounded, exact, "averages are rounded");
    let first = net.tensors[1].range.end;
    assert_eq!(through.first[..first], wanted.first[..first]);
    assert_eq!(through.activations, wanted.activations);
    // What reads the averages meets the rounded ones.
    assert_ne!(through.first[first..], wanted.first[first..]);
}
