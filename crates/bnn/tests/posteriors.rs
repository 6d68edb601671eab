//! The posteriors of existing techniques: point masses (a deterministic network), MC dropout; trained, stored, drawn.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use qbnn_bnn::internals::guide::Drawn;
use qbnn_bnn::internals::predict::predict;
use qbnn_bnn::predictor::NoProgress;
use qbnn_bnn::train::{Event, train};
use qbnn_bnn::{
    BitWidths, Checkpoint, Estimator, ImagesView, NetworkSpec, Normalisation, ParameterBytes, PosteriorKind,
    QuantizeSettings, Shape, Strategy, TrainData, TrainSettings, Widths,
};
use serde_json::json;
use std::ops::ControlFlow;

const SHAPE: Shape = Shape { channels: 1, rows: 4, columns: 4 };

fn checkpoint(posterior: PosteriorKind, epochs: usize) -> Checkpoint {
    let layers = json!([
        { "type": "conv", "out": 4, "kernel": 3, "padding": 1 }, { "type": "relu" }, { "type": "max-pool", "size": 2 },
        { "type": "conv", "out": 6, "kernel": 2 }, { "type": "relu" }, { "type": "dense", "out": 2 }
    ]);
    let spec: NetworkSpec = serde_json::from_value(json!({ "name": "tiny", "layer": layers })).unwrap();
    let train = TrainSettings { epochs, batch: 16, posterior, dropout: 0.25, ..TrainSettings::default() };
    Checkpoint::new(&spec, SHAPE, 2, Normalisation { mean: 0.3, std: 0.3 }, 7, train).unwrap()
}

/// Images of two classes, dark and bright.
fn with_data<R>(run: impl FnOnce(&TrainData<'_>) -> R) -> R {
    let pixels: Vec<u8> = (0..64 * 16).map(|i| (i * 37 % 97 + if i / 16 % 2 == 0 { 0 } else { 130 }) as u8).collect();
    let images = ImagesView { shape: SHAPE, pixels: &pixels };
    let pairs: Vec<(u32, u16)> = (0..64).map(|i| (i, (i % 2) as u16)).collect();
    let labels: Vec<u16> = pairs.iter().map(|p| p.1).collect();
    run(&TrainData::of_pairs(images, &pairs, images, &labels))
}

fn finish(checkpoint: &mut Checkpoint, data: &TrainData<'_>) -> f64 {
    let mut last = f64::NAN;
    let mut observe = |event: &Event| {
        if let Event::Epoch { validation_accuracy, kl, .. } = event {
            assert!(kl.is_finite());
            last = *validation_accuracy;
        }
        ControlFlow::Continue(())
    };
    train(checkpoint, data, &mut observe, &mut |_| Ok(())).unwrap();
    last
}

fn predictions(checkpoint: &Checkpoint, data: &TrainData<'_>) -> Vec<f64> {
    let go_on = &mut NoProgress;
    let (net, guide) = (checkpoint.net(), checkpoint.guide());
    predict(net, guide, checkpoint.normalisation, data.images, 4, 11, go_on).unwrap().values
}

#[test]
fn a_point_mass_learns_and_draws_its_mean() {
    with_data(|data| {
        let mut point = checkpoint(PosteriorKind::Point, 30);
        assert!(finish(&mut point, data) > 0.9);
        let (mut drawn, guide) = (Drawn::default(), point.guide());
        guide.store(point.net(), &mut drawn);
        guide.draw(point.net(), [1, 2], 0, 5, &mut drawn);
        assert_eq!(drawn.weights(), guide.posterior.mu());
        let all = predictions(&point, data);
        let draws: Vec<_> = all.chunks(all.len() / 4).collect();
        assert!(draws.iter().all(|d| *d == draws[0]));
        // 36 + 96 + 12 weights, 12 biases.
        assert_eq!(guide.bytes(point.net()), ParameterBytes { weights: 4 * 144, biases: 48, scales: 0 });

        // In 4 bits: a deterministic quantized network, its drawn codes stored.
        let bits = "w4a4".parse::<Widths>().unwrap().resolve(Strategy::Spq, Strategy::Spq.widths(4));
        let spq = QuantizeSettings { strategy: Strategy::Spq, bits, epochs: 3, ..QuantizeSettings::default() };
        let mut quantized = Checkpoint::quantized(point.clone(), spq, data).unwrap();
        assert!(finish(&mut quantized, data) > 0.9);
        let bytes = quantized.guide().bytes(quantized.net());
        assert_eq!((bytes.weights, bytes.biases), (72, 48));
        let all = predictions(&quantized, data);
        assert!(all.chunks(all.len() / 4).all(|d| *d == all[..all.len() / 4]));
        // Stored as codes: the mean's code is the drawn one, biases take 8 bits, and no sigma is stored.
        let jq = QuantizeSettings { epochs: 3, ..QuantizeSettings::default() };
        let mut quantized = Checkpoint::quantized(point.clone(), jq.clone(), data).unwrap();
        assert!(finish(&mut quantized, data) > 0.9);
        let bytes = quantized.guide().bytes(quantized.net());
        assert_eq!((bytes.weights, bytes.biases), (72, 12));
        let other = QuantizeSettings { bits: BitWidths { weight: 5, ..jq.bits }, ..jq };
        let error = Checkpoint::quantized(point, other, data).unwrap_err().to_string();
        assert!(error.contains("bits.weight = 5") && error.contains("bits.mu, 4"), "{error}");
    });
}

#[test]
fn dropout_drops_whole_units_at_its_rate_and_keeps_the_mean() {
    let dropout = checkpoint(PosteriorKind::Dropout, 1);
    let (net, guide) = (dropout.net(), dropout.guide());
    let mut drawn = Drawn::default();
    guide.store(net, &mut drawn);
    let (mut dropped, mut units) = (0, 0);
    for draw in 0..400 {
        guide.draw(net, [1, 2], 0, draw, &mut drawn);
        for (index, tensor) in net.tensors.iter().enumerate() {
            let (w, mu) = (&drawn.weights()[tensor.range.clone()], &guide.posterior.mu()[tensor.range.clone()]);
            if index == 0 || tensor.bias {
                assert_eq!(w, mu, "{}", tensor.name);
                continue;
            }
            let taps = tensor.fan_in / tensor.dims[1];
            for unit in 0..tensor.dims[1] {
                let of_unit = |i: &usize| i % tensor.fan_in / taps == unit;
                let all: Vec<usize> = (0..w.len()).filter(of_unit).collect();
                let zero = all.iter().filter(|&&i| w[i] == 0.0).count();
                assert!(zero == 0 || zero == all.len(), "half a unit of {}", tensor.name);
                if zero == 0 {
                    assert!(all.iter().all(|&i| (w[i] * 0.75 - mu[i]).abs() < 1e-6));
                }
                dropped += usize::from(zero > 0);
                units += 1;
            }
        }
    }
    let share = dropped as f64 / units as f64;
    assert!((share - 0.25).abs() < 0.03, "{share}");
}

#[test]
fn mc_dropout_learns_and_disagrees_with_itself() {
    with_data(|data| {
        let mut dropout = checkpoint(PosteriorKind::Dropout, 60);
        assert!(finish(&mut dropout, data) > 0.9);
        let all = predictions(&dropout, data);
        assert!(all[..all.len() / 4] != all[all.len() / 4..all.len() / 2]);
        let jq = QuantizeSettings { epochs: 5, ..QuantizeSettings::default() };
        let mut quantized = Checkpoint::quantized(dropout.clone(), jq.clone(), data).unwrap();
        assert!(finish(&mut quantized, data) > 0.9);
        let all = predictions(&quantized, data);
        assert!(all[..all.len() / 4] != all[all.len() / 4..all.len() / 2]);
        let bits = Strategy::Spq.widths(4);
        let spq = QuantizeSettings { strategy: Strategy::Spq, bits, ..jq };
        let error = Checkpoint::quantized(dropout, spq, data).unwrap_err().to_string();
        assert!(error.contains("dropout") && error.contains("jq"), "{error}");
    });
}

#[test]
fn posteriors_survive_a_file_and_settings_are_checked() {
    let path = std::env::temp_dir().join(format!("qbnn-posteriors-{}.safetensors", std::process::id()));
    with_data(|data| {
        for family in [PosteriorKind::Point, PosteriorKind::Dropout] {
            let mut first = checkpoint(family, 2);
            finish(&mut first, data);
            first.save(&path).unwrap();
            let again = Checkpoint::load(&path).unwrap();
            assert_eq!(again.guide().posterior, first.guide().posterior);
            assert_eq!(predictions(&again, data), predictions(&first, data));
        }
    });
    std::fs::remove_file(&path).unwrap();
    let base = TrainSettings { posterior: PosteriorKind::Point, ..TrainSettings::default() };
    base.check().unwrap();
    let wrong = TrainSettings { estimator: Estimator::Flipout, ..base.clone() };
    assert!(wrong.check().unwrap_err().to_string().contains("weight-draw"));
    assert!(TrainSettings { dropout: 1.0, ..base }.check().is_err());
}

/// Names in the code may change; those in configs, checkpoints and ledgers do not.
#[test]
fn settings_keep_the_words_of_stored_files() {
    let settings = TrainSettings::default();
    let written = serde_json::to_value(&settings).unwrap();
    let word = |key: &str| written[key].as_str().unwrap().to_owned();
    assert_eq!(["estimator", "labels", "posterior"].map(word), ["weight-draw", "drawn", "gaussian"]);
    assert_eq!(serde_json::from_value::<TrainSettings>(written.clone()).unwrap(), settings);
    let written = serde_json::to_value(QuantizeSettings::default()).unwrap();
    assert_eq!(written["fit"], "prediction");
}
