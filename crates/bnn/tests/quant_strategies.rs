//! The strategies: what each puts on grids, how it is named, what contradicts it, and that 32 bits are float exactly.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use qbnn_bnn::internals::draw::Draw;
use qbnn_bnn::internals::guide::{Drawn, Guide, GuideGradient};
use qbnn_bnn::internals::nn::pass::Gradient;
use qbnn_bnn::internals::posterior::{Gaussian, Posterior};
use qbnn_bnn::internals::predict::predict;
use qbnn_bnn::internals::prior::{Prior, WeightedPrior};
use qbnn_bnn::internals::quant::Quantizers;
use qbnn_bnn::internals::quant::sigma::SigmaQuantizer;
use qbnn_bnn::internals::quant::weight::deviations;
use qbnn_bnn::predictor::NoProgress;
use qbnn_bnn::train::{Outcome, train};
use qbnn_bnn::{
    BitWidths, Calibration, Checkpoint, Estimator, ImagesView, Network, NetworkSpec, Normalisation, ParameterBytes,
    PosteriorKind, QuantizeSettings, Rounding, Scale, Shape, SigmaGrid, Start, Strategy, TrainData, TrainSettings,
    Widths,
};
use qbnn_core::noise::{GAUSSIAN, NoiseCounter};
use qbnn_core::{Bits, UniformCode};
use serde_json::json;
use std::f32::consts::LN_2;
use std::ops::ControlFlow;

const SHAPE: Shape = Shape { channels: 1, rows: 4, columns: 4 };

fn spec() -> NetworkSpec {
    let layers = json!([
        { "type": "conv", "out": 3, "kernel": 3, "padding": 1 }, { "type": "relu" }, { "type": "max-pool", "size": 2 },
        { "type": "dense", "out": 5 }, { "type": "relu" }, { "type": "dense", "out": 2 }
    ]);
    serde_json::from_value(json!({ "name": "tiny", "layer": layers })).unwrap()
}

fn net() -> Network {
    Network::new(&spec(), SHAPE, 2).unwrap()
}

fn gaussian(net: &Network) -> Gaussian {
    let mut posterior = Gaussian::initial(net, [3, 5], 0.1);
    for (i, (m, l)) in posterior.mu.iter_mut().zip(&mut posterior.log_sigma).enumerate() {
        *m += 0.01 * ((5 * i) % 17) as f32 - 0.1;
        *l -= 0.1 * ((7 * i) % 23) as f32;
    }
    posterior
}

fn posterior(net: &Network) -> Posterior {
    Posterior::Gaussian(gaussian(net))
}

fn settings(strategy: Strategy, widths: &str) -> QuantizeSettings {
    let bits = widths.parse::<Widths>().unwrap().resolve(strategy, strategy.widths(4));
    QuantizeSettings { strategy, bits, ..QuantizeSettings::default() }
}

/// Calibrated grids, the posterior as stored, and a draw from it.
fn drawn(net: &Network, posterior: &Posterior, settings: &QuantizeSettings) -> (Quantizers, Vec<f32>, Vec<f32>, Draw) {
    settings.check().unwrap();
    let mut grids = Quantizers::new(net, PosteriorKind::Gaussian, settings).unwrap();
    grids.calibrate(net, posterior, None);
    let (mut mu, mut sigma, mut draw) = (Vec::new(), Vec::new(), Draw::default());
    grids.stored(net, posterior, &mut mu, &mut sigma);
    grids.draw(net, &mu, &sigma, [1, 2], NoiseCounter { purpose: 66, tensor: 0, draw: 3 }, &mut draw);
    (grids, mu, sigma, draw)
}

#[test]
fn widths_are_read_as_people_write_them() {
    let bits = |strategy, text: &str| {
        let BitWidths { mu, sigma, weight, activation } = settings(strategy, text).bits;
        [mu, sigma, weight, activation]
    };
    assert_eq!(bits(Strategy::Jq, "3"), [3, 3, 3, 3]);
    assert_eq!(bits(Strategy::Jq, "w2a4"), [2, 2, 2, 4]);
    assert_eq!(bits(Strategy::Jq, "mu8s2w3a5"), [8, 2, 3, 5]);
    assert_eq!(bits(Strategy::Jq, "s2"), [4, 2, 4, 4]);
    assert_eq!(bits(Strategy::Vpq, "w2a32"), [2, 2, 32, 32]);
    assert_eq!(bits(Strategy::Vpq, "mu8s3"), [8, 3, 32, 4]);
    assert_eq!(bits(Strategy::Spq, "w2a3"), [32, 32, 2, 3]);
    for wrong in ["", "w", "4w", "w4w3", "x4", "w4a", "w99999999999"] {
        assert!(wrong.parse::<Widths>().is_err(), "{wrong}");
    }
}

#[test]
fn names_tell_strategy_and_widths() {
    let name = |strategy, text: &str| settings(strategy, text).name();
    assert_eq!(name(Strategy::Vpq, "w4a4"), "vpq-w4a4");
    assert_eq!(name(Strategy::Vpq, "mu4s3a8"), "vpq-mu4s3a8");
    assert_eq!(name(Strategy::Spq, "w2a4"), "spq-w2a4");
    assert_eq!(name(Strategy::Jq, "w3a4"), "jq-w3a4");
    assert_eq!(name(Strategy::Jq, "mu4s3w4a4"), "jq-mu4s3w4a4");
    let other =
        QuantizeSettings { rounding: Rounding::Stochastic, scale: Scale::Tensor, ..QuantizeSettings::default() };
    assert_eq!(other.name(), "jq-w4a4-per-tensor-stochastic");
}

#[test]
fn contradictory_widths_name_key_and_mend() {
    let cases = [
        (Strategy::Vpq, [4, 4, 4, 4], "bits.weight = 4", "jq"),
        (Strategy::Spq, [4, 32, 4, 4], "bits.mu = 4", "jq"),
        (Strategy::Spq, [32, 4, 4, 4], "bits.sigma = 4", "jq"),
        (Strategy::Jq, [32, 4, 4, 4], "bits.mu = 32", "spq"),
        (Strategy::Jq, [4, 4, 32, 4], "bits.weight = 32", "vpq"),
        (Strategy::Jq, [4, 4, 4, 32], "bits.activation = 32", "vpq"),
    ];
    for (strategy, [mu, sigma, weight, activation], found, fix) in cases {
        let bits = BitWidths { mu, sigma, weight, activation };
        let error = QuantizeSettings { strategy, bits, ..QuantizeSettings::default() }.check().unwrap_err().to_string();
        assert!(error.starts_with(found) && error.contains(fix) && !error.contains('\n'), "{error}");
    }
    for strategy in Strategy::ALL {
        for bits in (2..=8).map(|b| strategy.widths(b)).chain([BitWidths::FLOAT]) {
            QuantizeSettings { strategy, bits, ..QuantizeSettings::default() }.check().unwrap();
        }
    }
    let wrong = QuantizeSettings { start: Start::Scratch, epochs: 0, ..QuantizeSettings::default() };
    assert!(wrong.check().unwrap_err().to_string().contains("scratch"));
    assert!(QuantizeSettings { noise_bits: 9, ..wrong }.check().is_err());
}

#[test]
fn each_strategy_leaves_the_rest_in_float() {
    let net = net();
    let posterior = posterior(&net);
    let on_grid = |values: &[f32]| {
        let mut distinct: Vec<f32> = values.to_vec();
        distinct.sort_by(f32::total_cmp);
        distinct.dedup();
        distinct.len()
    };
    let first = &net.tensors[2];
    let row = first.range.start..first.range.start + first.fan_in;
    for strategy in Strategy::ALL {
        let (_, mu, sigma, draw) = drawn(&net, &posterior, &settings(strategy, "2"));
        if strategy.stores() {
            assert!(on_grid(&mu[row.clone()]) <= 4 && on_grid(&sigma[first.range.clone()]) <= 4, "{strategy}");
        } else {
            assert_eq!((&mu[..], &sigma), (posterior.mu(), &posterior.sigma()), "{strategy}");
        }
        if strategy.draws() {
            assert!(on_grid(&draw.weights[row.clone()]) <= 4, "{strategy}");
        } else {
            for (i, w) in draw.weights.iter().enumerate() {
                assert_eq!(*w, mu[i] + sigma[i] * draw.noise[i], "{strategy}");
            }
        }
        // Biases are never rounded a second time.
        for i in net.tensors.iter().filter(|t| t.bias).flat_map(|t| t.range.clone()) {
            assert_eq!(draw.weights[i], mu[i] + sigma[i] * draw.noise[i], "{strategy}");
        }
    }
}

#[test]
fn bytes_and_scales_follow_strategy_and_granularity() {
    let net = net();
    // 27 + 60 + 10 weights in 3 + 5 + 2 channels, 3 + 5 + 2 biases, 2 activations.
    let posterior = posterior(&net);
    let bytes = |settings: QuantizeSettings| {
        let quantizers = Some(Quantizers::new(&net, PosteriorKind::Gaussian, &settings).unwrap());
        Guide { posterior: posterior.clone(), quantizers }.bytes(&net)
    };
    let of = |strategy| settings(strategy, "w4a4");
    // VPQ: mu and sigma of each tensor in 4 bits, 14 + 30 + 5 bytes each; biases 8 + 4 bits.
    let stored = ParameterBytes { weights: 98, biases: 3 + 5 + 2 + 2 + 3 + 1, scales: 0 };
    assert_eq!(bytes(of(Strategy::Vpq)), ParameterBytes { scales: 4 * (10 + 6 + 3 + 6 + 2), ..stored });
    assert_eq!(bytes(of(Strategy::Jq)), ParameterBytes { scales: 4 * (10 + 10 + 6 + 3 + 6 + 2), ..stored });
    assert_eq!(bytes(of(Strategy::Spq)), ParameterBytes { weights: 8 * 97, biases: 80, scales: 4 * (10 + 2) });
    let tensor = QuantizeSettings { scale: Scale::Tensor, ..of(Strategy::Jq) };
    assert_eq!(bytes(tensor), ParameterBytes { scales: 4 * (3 + 3 + 6 + 3 + 6 + 2), ..stored });
    let channel = QuantizeSettings { sigma_scale: Scale::Channel, ..of(Strategy::Jq) };
    assert_eq!(bytes(channel), ParameterBytes { scales: 4 * (10 + 10 + 20 + 3 + 6 + 2), ..stored });
    let uniform = QuantizeSettings { sigma_grid: SigmaGrid::Uniform, ..of(Strategy::Jq) };
    assert_eq!(bytes(uniform), ParameterBytes { scales: 4 * (10 + 10 + 3 + 3 + 3 + 2), ..stored });
    let float = QuantizeSettings { bits: BitWidths { activation: 32, ..of(Strategy::Vpq).bits }, ..of(Strategy::Vpq) };
    assert_eq!(bytes(float), ParameterBytes { scales: 4 * (10 + 6 + 3 + 6), ..stored });
}

#[test]
fn a_coarser_noise_table_keeps_mean_and_variance() {
    assert_eq!(deviations(8), std::array::from_fn(|i| GAUSSIAN[i] as f32 / 4096.0));
    for bits in 1..=8 {
        let table = deviations(bits);
        let mean = table.iter().map(|&v| v as f64).sum::<f64>() / 256.0;
        let variance = table.iter().map(|&v| (v as f64).powi(2)).sum::<f64>() / 256.0;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-4, "{bits}: {mean} {variance}");
        let steps = table.windows(2).filter(|w| w[0] != w[1]).count();
        assert_eq!(steps + 1, 1 << bits);
    }
    assert_eq!((deviations(1)[0], deviations(1)[255]), (-1.0, 1.0));
}

#[test]
fn uniform_sigma_worked_by_hand() {
    // 2 bits, scale 1/4: 0, 1/4, 1/2, 3/4.
    let spread = |log2_scale: f32| {
        let mut grid = SigmaQuantizer::new(SigmaGrid::Uniform, Bits::new(2).unwrap(), 1);
        grid.params_mut().fill(log2_scale);
        grid
    };
    let log_sigma = [0.05f32, 0.3, 0.7, 5.0].map(f32::ln);
    let mut stored = [0.0; 4];
    spread(-2.0).store(&log_sigma, &mut stored);
    assert_eq!(stored, [0.0, 0.25, 0.75, 0.75]);
    let mut lifted = stored;
    spread(-2.0).lift(&mut lifted);
    assert_eq!(lifted, [0.125, 0.25, 0.75, 0.75]);
    let mut gradient = [1.0; 4];
    let mut d_scale = [0.0];
    spread(-2.0).backward(&log_sigma, &stored, &mut gradient, &mut d_scale);
    // Straight through in sigma: d ln(sigma) is sigma times it; nothing passes where it clips.
    for (found, wanted) in gradient.iter().zip([0.05, 0.3, 0.7, 0.0]) {
        assert!((found - wanted).abs() < 1e-5, "{gradient:?}");
    }
    // Steps: 0.2 to 0, 1.2 to 1, 2.8 to 3, 20 to 3.
    let by_hand = (-0.2 - 0.2 + 0.2 + 3.0) * 0.25 * LN_2;
    assert!((d_scale[0] - by_hand).abs() < 1e-5, "{d_scale:?} {by_hand}");
    // Where it clips, the slope is that of finite differences.
    let value = |log2_scale: f32| {
        let mut stored = [0.0];
        spread(log2_scale).store(&log_sigma[3..], &mut stored);
        stored[0]
    };
    let slope = (value(-2.0 + 0.01) - value(-2.0 - 0.01)) / 0.02;
    assert!((slope - 3.0 * 0.25 * LN_2).abs() < 1e-3);
    // A weight that lost its noise does not put the divergence at infinity.
    let net = net();
    let posterior = posterior(&net);
    let uniform =
        QuantizeSettings { sigma_grid: SigmaGrid::Uniform, fit: Calibration::Range, ..settings(Strategy::Jq, "2") };
    let (grids, mu, sigma, _) = drawn(&net, &posterior, &uniform);
    assert!(sigma.contains(&0.0), "the test's own premise");
    let guide = Guide { posterior, quantizers: Some(grids) };
    let (mut drawn, mut into) = (Drawn::default(), GuideGradient::default());
    guide.store(&net, &mut drawn);
    guide.draw(&net, [1, 2], 0, 0, &mut drawn);
    let batch = Gradient { first: vec![0.1; mu.len()], second: Vec::new(), activations: vec![0.0; 2] };
    let kl = WeightedPrior { prior: Prior::same(1.0), scale: 1.0 };
    let kl = guide.backward(&net, Estimator::Reparameterization, &mut drawn, &batch, kl, &mut into);
    let ids = guide.quantizers.as_ref().unwrap().ids();
    let params = ids.into_iter().flat_map(|id| into.quantizers.of(id));
    assert!(kl.is_finite() && into.mu.iter().chain(&into.log_sigma).chain(params).all(|d| d.is_finite()));
}

/// Every parameter of a checkpoint's quantizers.
fn params(checkpoint: &Checkpoint) -> Vec<f32> {
    let quantizers = checkpoint.guide().quantizers.iter();
    quantizers.flat_map(|q| q.ids().into_iter().flat_map(|id| q.params(id).to_vec())).collect()
}

/// Images of two classes, dark and bright.
fn pixels() -> Vec<u8> {
    (0..64 * 16).map(|i| (i * 37 % 97 + if i / 16 % 2 == 0 { 0 } else { 130 }) as u8).collect()
}

fn with_data<R>(run: impl FnOnce(&TrainData<'_>) -> R) -> R {
    let pixels = pixels();
    let images = ImagesView { shape: SHAPE, pixels: &pixels };
    let pairs: Vec<(u32, u16)> = (0..64).map(|i| (i, (i % 2) as u16)).collect();
    let labels: Vec<u16> = pairs.iter().map(|p| p.1).collect();
    run(&TrainData { noise: 0.05, ..TrainData::of_pairs(images, &pairs, images, &labels) })
}

fn float(epochs: usize) -> Checkpoint {
    let train = TrainSettings { epochs, batch: 16, ..TrainSettings::default() };
    let normalisation = Normalisation { mean: 0.3, std: 0.3 };
    Checkpoint::new(&spec(), SHAPE, 2, normalisation, 7, train).unwrap()
}

fn finish(checkpoint: &mut Checkpoint, data: &TrainData<'_>) {
    let outcome = train(checkpoint, data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(())).unwrap();
    assert_eq!(outcome, Outcome::Finished);
}

fn probabilities(checkpoint: &Checkpoint, data: &TrainData<'_>) -> Vec<f64> {
    let go_on = &mut NoProgress;
    let (net, guide) = (checkpoint.net(), checkpoint.guide());
    predict(net, guide, checkpoint.normalisation, data.images, 3, 11, go_on).unwrap().values
}

#[test]
fn at_32_bits_every_strategy_is_float_exactly() {
    with_data(|data| {
        let mut trained = float(3);
        finish(&mut trained, data);
        let wanted = probabilities(&trained, data);
        let mut tuned = Vec::new();
        for strategy in Strategy::ALL {
            let settings =
                QuantizeSettings { strategy, bits: BitWidths::FLOAT, epochs: 0, ..QuantizeSettings::default() };
            let ptq = Checkpoint::quantized(trained.clone(), settings.clone(), data).unwrap();
            assert_eq!(probabilities(&ptq, data), wanted, "{strategy} PTQ");
            assert_eq!(ptq.guide().bytes(ptq.net()), trained.guide().bytes(trained.net()));
            // Trained on at 32 bits: float noise and float steps, whatever the strategy.
            let settings = QuantizeSettings { epochs: 2, ..settings };
            let mut qat = Checkpoint::quantized(trained.clone(), settings, data).unwrap();
            finish(&mut qat, data);
            tuned.push(qat.guide().posterior.clone());
        }
        assert!(tuned.iter().all(|p| *p == tuned[0]), "training at 32 bits depends on the strategy");
    });
}

#[test]
fn the_finer_the_grids_the_nearer_to_float() {
    // What is stored at 8 bits is nearer to the float posterior than at 4, and that nearer than at 2, for each grid.
    let net = net();
    let posterior = posterior(&net);
    for sigma_grid in [SigmaGrid::Log, SigmaGrid::Uniform] {
        for (scale, sigma_scale) in [(Scale::Channel, Scale::Tensor), (Scale::Tensor, Scale::Channel)] {
            for fit in [Calibration::Prediction, Calibration::WeightedError, Calibration::Error, Calibration::Range] {
                let error = |widths: &str| {
                    let base = settings(Strategy::Vpq, widths);
                    let settings = QuantizeSettings { sigma_grid, scale, sigma_scale, fit, ..base };
                    let (_, mu, sigma, _) = drawn(&net, &posterior, &settings);
                    let of = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
                    (of(&mu, posterior.mu()), of(&sigma, &posterior.sigma()))
                };
                let [two, four, eight] = ["2", "4", "8"].map(error);
                assert!(two.0 > four.0 && four.0 > eight.0, "{sigma_grid:?} {fit:?}: {two:?} {four:?} {eight:?}");
                assert!(two.1 > four.1 && four.1 > eight.1, "{sigma_grid:?} {fit:?}: {two:?} {four:?} {eight:?}");
            }
        }
    }
}

#[test]
fn every_strategy_learns_fine_tuned_and_from_scratch() {
    with_data(|data| {
        let mut trained = float(30);
        finish(&mut trained, data);
        for strategy in Strategy::ALL {
            for start in [Start::Float, Start::Scratch] {
                for sigma_grid in [SigmaGrid::Log, SigmaGrid::Uniform] {
                    let epochs = if start == Start::Scratch { 60 } else { 3 };
                    let base = settings(strategy, "w4a4");
                    let settings = QuantizeSettings { start, epochs, sigma_grid, learning_rate: 2e-3, ..base };
                    let mut checkpoint = Checkpoint::quantized(trained.clone(), settings, data).unwrap();
                    let before = params(&checkpoint);
                    finish(&mut checkpoint, data);
                    assert_ne!(params(&checkpoint), before);
                    let probs = probabilities(&checkpoint, data);
                    let right = (0..64).filter(|i| probs[2 * i + i % 2] > 0.5).count();
                    assert!(right >= 60, "{strategy} {start:?} {sigma_grid:?}: {right} of 64 right");
                }
            }
        }
    });
}

#[test]
fn scales_that_are_not_learned_stay() {
    with_data(|data| {
        let fixed = QuantizeSettings { learn_scales: false, epochs: 2, ..settings(Strategy::Jq, "w4a4") };
        let mut checkpoint = Checkpoint::quantized(float(1), fixed, data).unwrap();
        let before = params(&checkpoint);
        let mu = checkpoint.guide().posterior.mu().to_vec();
        finish(&mut checkpoint, data);
        assert_eq!(params(&checkpoint), before);
        assert_ne!(checkpoint.guide().posterior.mu(), mu);
    });
}

#[test]
fn every_kind_of_grid_survives_a_file() {
    let dir = std::env::temp_dir().join(format!("qbnn-strategies-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    with_data(|data| {
        let mut all: Vec<QuantizeSettings> = Strategy::ALL.iter().map(|&s| settings(s, "w3a4")).collect();
        let jq = settings(Strategy::Jq, "mu4s3w4a4");
        all.push(QuantizeSettings { sigma_grid: SigmaGrid::Uniform, scale: Scale::Tensor, ..jq.clone() });
        all.push(QuantizeSettings { sigma_scale: Scale::Channel, kl_weight: Some(0.0), ..jq.clone() });
        all.push(QuantizeSettings { bits: BitWidths::FLOAT, ..jq });
        for (i, settings) in all.into_iter().enumerate() {
            let path = dir.join(format!("{i}.safetensors"));
            let checkpoint = Checkpoint::quantized(float(1), settings.clone(), data).unwrap();
            checkpoint.save(&path).unwrap();
            let again = Checkpoint::load(&path).unwrap();
            assert_eq!(again.quantize, Some(settings));
            assert_eq!(params(&again), params(&checkpoint));
            assert_eq!(probabilities(&again, data), probabilities(&checkpoint, data));
        }
    });
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn codes_of_signed_grids_have_one_more_below_zero() {
    let code = UniformCode::Signed(Bits::new(2).unwrap());
    let settings = QuantizeSettings { fit: Calibration::Range, scale: Scale::Tensor, ..settings(Strategy::Spq, "2") };
    let net = net();
    let mut posterior = gaussian(&net);
    // All draws far below zero: the lowest code is used, and nothing clips.
    posterior.mu.fill(-1.0);
    posterior.log_sigma.fill(-6.0);
    let (_, _, _, draw) = drawn(&net, &Posterior::Gaussian(posterior), &settings);
    let r = net.tensors[0].range.clone();
    let lowest = draw.weights[r].iter().copied().fold(f32::INFINITY, f32::min);
    assert!((lowest + 1.0).abs() < 0.02 && code.min() == -2, "{lowest}");
}
