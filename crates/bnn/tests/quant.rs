//! The quantizers: grids worked by hand, laws that hold at every width, straight-through gradients against finite
//! differences where those are exact, and what is stored and drawn.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use qbnn_bnn::internals::draw::Draw;
use qbnn_bnn::internals::guide::{Guide, GuideGradient};
use qbnn_bnn::internals::nn::activation::Activation;
use qbnn_bnn::internals::nn::pass::ActivationQuantizer;
use qbnn_bnn::internals::posterior::{Gaussian, Posterior};
use qbnn_bnn::internals::quant::Quantizers;
use qbnn_bnn::internals::quant::activation::{QuantizedActivations, calibrate};
use qbnn_bnn::internals::quant::gradient::QuantizerGradient;
use qbnn_bnn::internals::quant::log::{LogGrid, fit};
use qbnn_bnn::internals::quant::params::Named;
use qbnn_bnn::internals::quant::quantizers::TensorQuantizers;
use qbnn_bnn::internals::quant::uniform::{Uniform, least_error, min_max};
use qbnn_bnn::{
    BitWidths, BnnError, Calibration, Network, NetworkSpec, Normalisation, ParameterBytes, PosteriorKind,
    QuantizeSettings, Rounding, Shape,
};
use qbnn_core::noise::{GAUSSIAN, GAUSSIAN_FRACTION_BITS, NoiseCounter};
use qbnn_core::{Bits, LogCode, UniformCode};
use serde_json::json;
use std::f32::consts::LN_2;

const PIXELS: Normalisation = Normalisation { mean: 0.1, std: 0.3 };

fn bits(b: u32) -> Bits {
    Bits::new(b).unwrap()
}

/// 4 inputs, 3 hidden units, ReLU, 2 classes: 12 + 3 + 6 + 2 parameters, one activation.
fn tiny() -> Network {
    let layers = json!([{ "type": "dense", "out": 3 }, { "type": "relu" }, { "type": "dense", "out": 2 }]);
    let spec: NetworkSpec = serde_json::from_value(json!({ "name": "tiny", "layer": layers })).unwrap();
    Network::new(&spec, Shape { channels: 1, rows: 2, columns: 2 }, 2).unwrap()
}

fn settings(mu: u32, sigma: u32, weight: u32, activation: u32, rounding: Rounding) -> QuantizeSettings {
    QuantizeSettings { bits: BitWidths { mu, sigma, weight, activation }, rounding, ..QuantizeSettings::default() }
}

/// A posterior of unequal means and spreads.
fn posterior(net: &Network, seed: u32) -> Posterior {
    let mut posterior = Gaussian::initial(net, [seed, 5], 0.1);
    for (i, (m, l)) in posterior.mu.iter_mut().zip(&mut posterior.log_sigma).enumerate() {
        *m += 0.03 * (i as f32 - 11.0);
        *l -= 0.1 * ((7 * i) % 23) as f32;
    }
    Posterior::Gaussian(posterior)
}

/// Sets every parameter whose name ends in `suffix`.
fn set(grids: &mut Quantizers, net: &Network, suffix: &str, value: f32) {
    for Named { name, id, range } in grids.named(net) {
        if name.ends_with(suffix) {
            grids.params_mut(id)[range].fill(value);
        }
    }
}

fn stored(grids: &Quantizers, net: &Network, posterior: &Posterior) -> (Vec<f32>, Vec<f32>) {
    let (mut mu, mut sigma) = (Vec::new(), Vec::new());
    grids.stored(net, posterior, &mut mu, &mut sigma);
    (mu, sigma)
}

fn place(draw: u32) -> NoiseCounter {
    NoiseCounter { purpose: 66, tensor: 0, draw }
}

fn near(a: f32, b: f32, tolerance: f32) -> bool {
    (a - b).abs() <= tolerance * b.abs().max(1e-3)
}

#[test]
fn uniform_grids_worked_by_hand() {
    // Signed 3 bits, scale 1/2: codes -4..=3, values -2..=1.5.
    let grid = Uniform::new(UniformCode::Signed(bits(3)), -1.0);
    assert_eq!(grid.scale(), 0.5);
    for (x, code) in [(0.6, 1.0), (0.8, 2.0), (-0.25, 0.0), (0.75, 2.0), (0.25, 0.0), (9.0, 3.0), (-9.0, -4.0)] {
        assert_eq!((grid.code(x), grid.value(x)), (code, code * 0.5), "{x}");
    }
    // Stochastic: 1.2 steps go up if the uniform number is at least 0.8, -1.2 steps if it is at least 0.2.
    for (x, up, code) in [(0.6, 0.1, 1.0), (0.6, 0.75, 1.0), (0.6, 0.85, 2.0), (-0.6, 0.1, -2.0), (-0.6, 0.25, -1.0)] {
        assert_eq!(grid.code_with(x, up), code, "{x} {up}");
    }
    assert_eq!((grid.code_with(7.0, 0.9), grid.code_with(-7.0, 0.1)), (3.0, -4.0));
    // Unsigned 2 bits, scale 1/4: 0, 1/4, 1/2, 3/4.
    let grid = Uniform::new(UniformCode::Unsigned(bits(2)), -2.0);
    for (x, value) in [(0.3, 0.25), (0.4, 0.5), (-1.0, 0.0), (5.0, 0.75)] {
        assert_eq!(grid.value(x), value, "{x}");
    }
}

#[test]
fn log_grids_worked_by_hand() {
    // 2 bits, top 1, half an octave: 1, 1/2, 0, -1/2 in log2.
    let grid = LogGrid::new(LogCode(bits(2)), 1.0, -1.0);
    for (x, code, value) in [(1.0, 0.0, 1.0), (0.4, 1.0, 0.5), (0.2, 2.0, 0.0), (9.0, 0.0, 1.0), (-9.0, 3.0, -0.5)] {
        assert_eq!(grid.code(x), code, "{x}");
        assert_eq!(grid.log2_value(code), value, "{x}");
    }
    // 201 values, 0 to -20: the 1st percentile is -19.8, the 99.5th -0.1, and 15 steps lie between.
    let mut values: Vec<f32> = (0..=200).map(|i| -(i as f32) / 10.0).collect();
    let (top, log2_step) = fit(LogCode(bits(4)), &mut values, (0.01, 0.995));
    assert!(near(top, -0.1, 1e-6) && near(log2_step.exp2(), 19.7 / 15.0, 1e-5), "{top} {log2_step}");
    assert_eq!(fit(LogCode(bits(4)), &mut [-3.0; 5], (0.01, 0.995)), (-3.0, -6.0), "no spread: the least step");
    assert_eq!(fit(LogCode(bits(4)), &mut [], (0.01, 0.995)), (0.0, -6.0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(11), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_uniform_grid_is_idempotent_monotone_and_within_half_a_step(
        b in 2u32..=8, signed: bool, log2_scale in -20.0f32..20.0, v in -300.0f32..300.0, w in -300.0f32..300.0, up in 0.001f32..0.999,
    ) {
        let code = if signed { UniformCode::Signed(bits(b)) } else { UniformCode::Unsigned(bits(b)) };
        let (grid, scale) = (Uniform::new(code, log2_scale), log2_scale.exp2());
        let (x, y) = (v.min(w) * scale, v.max(w) * scale);
        prop_assert_eq!(grid.value(grid.value(x)), grid.value(x));
        prop_assert!(grid.value(x) <= grid.value(y));
        let range = code.min() as f32..=code.max() as f32;
        for c in [grid.code(x), grid.code_with(x, up)] {
            prop_assert!(range.contains(&c) && c.fract() == 0.0, "code {}", c);
        }
        if range.contains(&(x / scale)) {
            prop_assert!((grid.value(x) - x).abs() <= 0.5001 * scale);
            prop_assert!((grid.code_with(x, up) * scale - x).abs() <= 1.0001 * scale);
        }
    }

    #[test]
    fn a_log_grid_is_idempotent_monotone_and_within_half_a_step(
        b in 2u32..=8, top in -15.0f32..5.0, log2_step in -6.0f32..1.0, t in -20.0f32..300.0, u in -20.0f32..300.0,
    ) {
        let code = LogCode(bits(b));
        let (grid, step) = (LogGrid::new(code, top, log2_step), log2_step.exp2());
        let value = |x| grid.log2_value(grid.code(x));
        let (x, y) = (top - t.max(u) * step, top - t.min(u) * step);
        prop_assert_eq!(value(value(x)), value(x));
        prop_assert!(value(x) <= value(y));
        let c = grid.code(x);
        prop_assert!(c >= 0.0 && c <= code.max() as f32 && c.fract() == 0.0, "code {}", c);
        if t.max(u) >= 0.0 && t.max(u) <= code.max() as f32 {
            prop_assert!((value(x) - x).abs() <= 0.51 * step);
        }
    }

    #[test]
    fn every_drawn_weight_lies_on_its_grid(
        seed: u32, (mu, sigma, weight) in (2u32..=8, 2u32..=8, 2u32..=8), stochastic: bool,
    ) {
        let net = tiny();
        let rounding = if stochastic { Rounding::Stochastic } else { Rounding::Nearest };
        let mut grids = Quantizers::new(&net, PosteriorKind::Gaussian, &settings(mu, sigma, weight, 4, rounding)).unwrap();
        let posterior = posterior(&net, seed);
        grids.calibrate(&net, &posterior, None);
        let (m, s) = stored(&grids, &net, &posterior);
        // What is stored has at most 2^b values a row, and storing it again changes nothing.
        let again = Gaussian { mu: m.clone(), log_sigma: s.iter().map(|s| s.ln()).collect() };
        let again = Posterior::Gaussian(again);
        prop_assert_eq!(stored(&grids, &net, &again), (m.clone(), s.clone()));
        let mut draw = Draw::default();
        grids.draw(&net, &m, &s, [seed, 1], place(3), &mut draw);
        let code = UniformCode::Signed(bits(weight));
        let names = grids.named(&net);
        for tensor in net.tensors.iter().filter(|t| !t.bias) {
            let at = names.iter().find(|n| n.name == format!("{}.draw.log2_scale", tensor.name)).unwrap();
            let rows = draw.weights[tensor.range.clone()].chunks_exact(tensor.fan_in);
            for (row, &log2_scale) in rows.zip(&grids.params(at.id)[at.range.clone()]) {
                for w in row {
                    let c = (w / log2_scale.exp2()).round();
                    prop_assert_eq!(c * log2_scale.exp2(), *w);
                    prop_assert!(c >= code.min() as f32 && c <= code.max() as f32, "code {}", c);
                }
            }
        }
    }
}

#[test]
fn clipped_values_have_the_slope_of_finite_differences() {
    let h = 1.0 / 64.0;
    for b in 2..=8 {
        for code in [UniformCode::Signed(bits(b)), UniformCode::Unsigned(bits(b))] {
            for (log2_scale, x) in [(-3.3, 1e3), (-3.3, -1e3), (0.7, 9e5), (0.7, -9e5)] {
                let value = |l: f32| Uniform::new(code, l).value(x);
                let slope = (value(log2_scale + h) - value(log2_scale - h)) / (2.0 * h);
                let grid = Uniform::new(code, log2_scale);
                let ste = grid.backward(x, grid.code(x), 3.0);
                assert_eq!(ste.value, 0.0);
                assert!(near(ste.log2_scale, 3.0 * slope, 1e-3), "{code:?} {x}: {ste:?} {slope}");
            }
        }
        for (top, log2_step, x) in [(-2.0, -1.5, 5.0), (-2.0, -1.5, -400.0), (1.0, 0.5, -1000.0)] {
            let value = |top, l| {
                let grid = LogGrid::new(LogCode(bits(b)), top, l);
                grid.log2_value(grid.code(x))
            };
            let of_top = (value(top + h, log2_step) - value(top - h, log2_step)) / (2.0 * h);
            let of_step = (value(top, log2_step + h) - value(top, log2_step - h)) / (2.0 * h);
            let ste = LogGrid::new(LogCode(bits(b)), top, log2_step).backward(x, 3.0);
            assert_eq!(ste.value, 0.0);
            assert!(near(ste.top, 3.0 * of_top, 1e-3), "{ste:?} {of_top}");
            assert!(near(ste.log2_step, 3.0 * of_step, 2e-3), "{ste:?} {of_step}");
        }
    }
}

#[test]
fn inside_the_range_the_gradient_goes_straight_through() {
    // 1.2 steps of 1/2 become 1: the value's gradient passes, the scale's is the rounding's error (-0.2) * scale * ln 2.
    let grid = Uniform::new(UniformCode::Signed(bits(3)), -1.0);
    let ste = grid.backward(0.6, grid.code(0.6), 10.0);
    assert_eq!(ste.value, 10.0);
    assert!(near(ste.log2_scale, 10.0 * -0.2 * 0.5 * LN_2, 1e-5), "{ste:?}");
    // Up to half a step beyond the ends a value still counts as inside: rounding, not the range, moved it.
    let ste = grid.backward(1.7, grid.code(1.7), 1.0);
    assert_eq!(ste.value, 1.0);
    assert!(near(ste.log2_scale, (3.0 - 3.4) * 0.5 * LN_2, 1e-5), "{ste:?}");
    assert_eq!(grid.backward(1.8, grid.code(1.8), 1.0).value, 0.0);
    assert_eq!(grid.backward(-2.2, grid.code(-2.2), 1.0).value, 1.0);
    assert_eq!(grid.backward(-2.3, grid.code(-2.3), 1.0).value, 0.0);
    // Log grid, top 1, step 1/2: 0.4 lies at 1.2 steps, becomes 1; the value moves against the step.
    let grid = LogGrid::new(LogCode(bits(2)), 1.0, -1.0);
    let ste = grid.backward(0.4, 10.0);
    assert_eq!((ste.value, ste.top), (10.0, 0.0));
    assert!(near(ste.log2_step, 10.0 * 0.2 * 0.5 * LN_2, 1e-5), "{ste:?}");
}

#[test]
fn search_finds_the_scale_of_values_that_lie_on_a_grid() {
    for b in 2..=8 {
        for code in [UniformCode::Signed(bits(b)), UniformCode::Unsigned(bits(b))] {
            for log2_scale in [-7.3, -2.0, 0.4] {
                let scale = f32::exp2(log2_scale);
                // All codes, and those that have a mirror image alone: two's complement has one more below zero.
                for low in [code.min(), if code.min() < 0 { -code.max() } else { 0 }] {
                    let values: Vec<f32> = (low..=code.max()).map(|c| c as f32 * scale).collect();
                    let found = least_error(code, || values.iter().map(|&v| (v, 1.0)));
                    assert!((found - log2_scale).abs() < 1e-5, "{code:?} {log2_scale}: {found}");
                    let found = min_max(code, values.iter().copied());
                    assert!((found - log2_scale).abs() < 1e-5, "{code:?} {log2_scale}: {found}");
                }
            }
        }
    }
    let code = UniformCode::Signed(bits(4));
    assert_eq!(least_error(code, || [(0.0, 1.0)].into_iter()), -8.0);
    assert_eq!(least_error(code, std::iter::empty), -8.0);
    // An outlier of no weight is clipped: 99 values on a grid decide, not the one beyond it.
    let values: Vec<(f32, f32)> = (0..99).map(|i| ((i % 15 - 7) as f32 * 0.1, 1.0)).chain([(1.4, 1e-9)]).collect();
    let found = least_error(code, || values.iter().copied());
    assert!((found - 0.1f32.log2()).abs() < 1e-3, "{found}");
}

#[test]
fn activations_lie_on_their_grid_and_clipped_ones_move_its_step() {
    let values: Vec<f32> = (0..=15).map(|c| c as f32 * 0.25).collect();
    let step = calibrate(Activation::Relu, bits(4), Calibration::WeightedError, &values);
    assert!((step + 2.0).abs() < 1e-5, "{step}");
    let activations = QuantizedActivations { bits: bits(4), log2_steps: &[-2.0], pixels: PIXELS };
    let x = [-1.0, 0.3, 3.6, 80.0];
    let mut y = [0.0; 4];
    activations.forward(0, Activation::Relu, &x, &mut y);
    assert_eq!(y, [0.0, 0.25, 3.5, 3.75]);
    let (mut dx, mut d_step) = ([0.0; 4], [0.0]);
    activations.backward(0, Activation::Relu, &x, &[1.0; 4], &mut dx, &mut d_step);
    assert_eq!(dx, [0.0, 1.0, 1.0, 0.0]);
    // Steps: 0 exact, 1.2 to 1, 14.4 to 14, and 15 clipped.
    let by_hand = (0.0 - 0.2 - 0.4 + 15.0) * 0.25 * LN_2;
    assert!(near(d_step[0], by_hand, 1e-5), "{d_step:?} {by_hand}");
    // Hardtanh needs a sign: 2 bits, steps of 1/2, -1..=1/2.
    let activations = QuantizedActivations { bits: bits(2), log2_steps: &[-1.0], pixels: PIXELS };
    activations.forward(0, Activation::Hardtanh, &[-5.0, -0.6, 0.4, 5.0], &mut y);
    assert_eq!(y, [-1.0, -0.5, 0.5, 0.5]);
}

#[test]
fn of_clipped_values_every_quantizer_parameter_has_its_finite_difference() {
    let net = tiny();
    let n = net.parameters();
    let posterior = posterior(&net, 3);
    let weights: Vec<f32> = (0..n).map(|i| 1.0 + (i % 5) as f32 * 0.3).collect();
    let mut grids = Quantizers::new(&net, PosteriorKind::Gaussian, &settings(3, 3, 3, 3, Rounding::Nearest)).unwrap();
    // Stored: grids far narrower than the values, sigma's far above them.
    set(&mut grids, &net, ".mu.log2_scale", -30.0);
    set(&mut grids, &net, ".log2_top", 9.0);
    set(&mut grids, &net, ".sigma.log2_step", -2.0);
    let loss = |grids: &Quantizers| -> f64 {
        let (mu, sigma) = stored(grids, &net, &posterior);
        // Means are tiny here: their part is scaled up to be seen.
        let part = |(i, w): (usize, &f32)| f64::from(*w) * (f64::from(mu[i]) * 1e8 + f64::from(sigma[i]) * 1e-2);
        weights.iter().enumerate().map(part).sum()
    };
    let (_, sigma) = stored(&grids, &net, &posterior);
    let (mut d_mu, mut d_sigma) = (weights.clone(), weights.clone());
    d_mu.iter_mut().for_each(|d| *d *= 1e8);
    d_sigma.iter_mut().for_each(|d| *d *= 1e-2);
    let mut d_params = grids.zero_gradient();
    grids.backward_stored(&net, &posterior, &sigma, &mut d_mu, &mut d_sigma, &mut d_params);
    assert!(d_mu.iter().chain(&d_sigma).all(|&d| d == 0.0), "nothing passes a clipped value");
    check(&grids, &net, &[".mu.log2_scale", ".log2_top", ".sigma.log2_step"], &d_params, &loss);

    // Drawn: wide means, narrow draws.
    grids.calibrate(&net, &posterior, None);
    set(&mut grids, &net, ".draw.log2_scale", -20.0);
    let (mu, sigma) = stored(&grids, &net, &posterior);
    let mu: Vec<f32> = mu.iter().enumerate().map(|(i, m)| m + if i % 2 == 0 { 50.0 } else { -50.0 }).collect();
    let drawn = |grids: &Quantizers| {
        let mut draw = Draw::default();
        grids.draw(&net, &mu, &sigma, [1, 2], place(0), &mut draw);
        draw
    };
    let is_weight = |i: usize| net.tensors.iter().any(|t| !t.bias && t.range.contains(&i));
    let loss = |grids: &Quantizers| -> f64 {
        let draw = drawn(grids);
        let part = |(i, w): (usize, &f32)| if is_weight(i) { f64::from(w * draw.weights[i]) * 1e5 } else { 0.0 };
        weights.iter().enumerate().map(part).sum()
    };
    let up: Vec<f32> = weights.iter().map(|w| w * 1e5).collect();
    let quantizers = grids.zero_gradient();
    let mut into = GuideGradient { mu: vec![0.0; n], log_sigma: vec![0.0; n], quantizers };
    let draw = drawn(&grids);
    grids.backward_draw(&net, &draw, &up, &mut into.mu, &mut into.log_sigma, &mut into.quantizers);
    for (i, &up) in up.iter().enumerate() {
        let mean = if is_weight(i) { 0.0 } else { up };
        assert_eq!((into.mu[i], into.log_sigma[i]), (mean, mean * draw.noise[i]), "parameter {i}");
    }
    check(&grids, &net, &[".draw.log2_scale"], &into.quantizers, &loss);
}

/// Compares the gradient with central differences of `loss` for all numbers named.
fn check(
    grids: &Quantizers,
    net: &Network,
    suffixes: &[&str],
    gradient: &QuantizerGradient,
    loss: &dyn Fn(&Quantizers) -> f64,
) {
    let h = 1.0 / 32.0;
    for Named { name, id, range } in grids.named(net) {
        if suffixes.iter().any(|s| name.ends_with(s)) {
            for i in range {
                let at = |h| {
                    let mut moved = grids.clone();
                    moved.params_mut(id)[i] += h;
                    loss(&moved)
                };
                let slope = ((at(h) - at(-h)) / f64::from(2.0 * h)) as f32;
                let found = gradient.of(id)[i];
                assert!(found.abs() > 1e-4, "{name}: nothing to compare");
                assert!(near(found, slope, 1e-3), "{name} {i}: {found} against {slope}");
            }
        }
    }
}

#[test]
fn without_spread_a_draw_is_the_stored_mean() {
    let net = tiny();
    let posterior = posterior(&net, 8);
    for rounding in [Rounding::Nearest, Rounding::Stochastic] {
        let mut grids = Quantizers::new(&net, PosteriorKind::Gaussian, &settings(4, 4, 4, 4, rounding)).unwrap();
        grids.calibrate(&net, &posterior, None);
        // Means and draws share their grid, and sigma's lies at 2^-40 and below.
        for TensorQuantizers { mu, weight, .. } in &mut grids.tensors {
            if let (Some(mu), Some(weight)) = (mu, weight) {
                weight.log2_scales.clone_from(&mu.log2_scales);
            }
        }
        set(&mut grids, &net, ".log2_top", -40.0);
        let (mu, sigma) = stored(&grids, &net, &posterior);
        let mut draw = Draw::default();
        grids.draw(&net, &mu, &sigma, [4, 4], place(0), &mut draw);
        for (tensor, w, m) in net.tensors.iter().map(|t| (t, &draw.weights[t.range.clone()], &mu[t.range.clone()])) {
            assert!(w.iter().zip(m).all(|(w, m)| (w - m).abs() < 1e-9), "{}: {w:?} {m:?}", tensor.name);
        }
    }
}

/// Mean and variance of every parameter over `draws` draws.
fn moments(grids: &Quantizers, net: &Network, mu: &[f32], sigma: &[f32], draws: u32) -> Vec<(f64, f64)> {
    let mut draw = Draw::default();
    let mut sums = vec![(0.0f64, 0.0f64); mu.len()];
    for d in 0..draws {
        grids.draw(net, mu, sigma, [9, 9], place(d), &mut draw);
        for ((sum, &w), &m) in sums.iter_mut().zip(&draw.weights).zip(mu) {
            let x = (w - m) as f64;
            *sum = (sum.0 + x, sum.1 + x * x);
        }
    }
    let n = draws as f64;
    sums.iter().zip(mu).map(|(s, &m)| (m as f64 + s.0 / n, s.1 / n - (s.0 / n).powi(2))).collect()
}

#[test]
fn stochastic_draws_have_the_mean_and_on_a_fine_grid_the_variance() {
    const DRAWS: u32 = 4000;
    let net = tiny();
    let posterior = posterior(&net, 21);
    // Fine: 1/16 of a sigma and less. Coarse: a step as wide as the largest sigma, and 6 bits so that nothing clips.
    for (weight_bits, log2_scale) in [(8, -6.0f32), (6, -2.0)] {
        let mut grids =
            Quantizers::new(&net, PosteriorKind::Gaussian, &settings(6, 4, weight_bits, 4, Rounding::Stochastic))
                .unwrap();
        grids.calibrate(&net, &posterior, None);
        set(&mut grids, &net, ".draw.log2_scale", log2_scale);
        set(&mut grids, &net, ".log2_top", -2.0);
        set(&mut grids, &net, ".sigma.log2_step", -5.0);
        let (mu, sigma) = stored(&grids, &net, &posterior);
        let scale = log2_scale.exp2() as f64;
        let limit = (1 << (weight_bits - 1)) as f64 * scale;
        for (tensor, all) in net.tensors.iter().map(|t| (t, moments(&grids, &net, &mu, &sigma, DRAWS))) {
            for i in tensor.range.clone() {
                let (m, s) = (mu[i] as f64, sigma[i] as f64);
                assert!(m.abs() + 3.2 * s < limit, "the test's own premise: nothing clips");
                // Rounding up with probability f adds f(1 - f) steps squared, f taken over the Gaussian table.
                let one = f64::from(1u32 << GAUSSIAN_FRACTION_BITS);
                let added = |e: f64| {
                    let v = (m + s * e) / scale;
                    let f = v - v.floor();
                    if tensor.bias { 0.0 } else { f * (1.0 - f) * scale * scale }
                };
                let of_table = |e: &i16| (s * *e as f64 / one).powi(2) + added(*e as f64 / one);
                let variance = GAUSSIAN.iter().map(of_table).sum::<f64>() / 256.0;
                let (found_mean, found_variance) = all[i];
                let slack = 4.5 * (variance / DRAWS as f64).sqrt() + scale / 512.0;
                assert!((found_mean - m).abs() < slack, "mean of {i}: {found_mean} {m}");
                let slack = 4.5 * variance * (2.0 / DRAWS as f64).sqrt();
                assert!((found_variance - variance).abs() < slack, "variance of {i}: {found_variance} {variance}");
                if weight_bits == 8 {
                    let ratio = (found_variance / (s * s)).sqrt();
                    assert!((ratio - 1.0).abs() < 0.06, "sigma of {i}: {ratio} of what is stored");
                }
            }
        }
    }
}

#[test]
fn widths_without_a_format_are_refused_by_name() {
    let net = tiny();
    for wrong in [0, 1, 9, 31] {
        let cases = [
            ("bits.mu", settings(wrong, 4, 4, 4, Rounding::Nearest)),
            ("bits.sigma", settings(4, wrong, 4, 4, Rounding::Nearest)),
            ("bits.weight", settings(4, 4, wrong, 4, Rounding::Nearest)),
            ("bits.activation", settings(4, 4, 4, wrong, Rounding::Nearest)),
        ];
        for (name, settings) in cases {
            for error in
                [settings.check().unwrap_err(), Quantizers::new(&net, PosteriorKind::Gaussian, &settings).unwrap_err()]
            {
                assert!(
                    matches!(&error, BnnError::Setting { key, found, .. } if *key == name && *found == wrong.to_string()),
                    "{name} = {wrong}: {error}"
                );
            }
        }
    }
    for b in 2..=8 {
        assert!(settings(b, b, b, b, Rounding::Nearest).check().is_ok());
    }
}

#[test]
fn bytes_worked_by_hand() {
    let net = tiny();
    let posterior = posterior(&net, 0);
    let float = Guide { posterior: posterior.clone(), quantizers: None };
    let bytes = float.bytes(&net);
    assert_eq!(bytes, ParameterBytes { weights: 8 * 18, biases: 8 * 5, scales: 0 });
    assert_eq!(bytes.total(), 184);
    // Means of 3 bits: ceil(36/8) + ceil(18/8) = 5 + 3; sigmas of 5: ceil(60/8) + ceil(30/8) = 8 + 4.
    // Biases: means of 8 bits, 3 + 2; sigmas of 5: ceil(15/8) + ceil(10/8) = 2 + 2.
    // Scales: 3 + 3 + 2 and 2 + 2 + 2 of the weights, 1 + 2 of each bias, one activation: 21 floats.
    let quantizers =
        Some(Quantizers::new(&net, PosteriorKind::Gaussian, &settings(3, 5, 4, 4, Rounding::Nearest)).unwrap());
    let bytes = Guide { posterior, quantizers }.bytes(&net);
    assert_eq!(bytes, ParameterBytes { weights: 20, biases: 9, scales: 84 });
    assert_eq!(bytes.total(), 113);
}
