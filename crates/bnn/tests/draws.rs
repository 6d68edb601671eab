//! Several draws in a step: each meets its own blocks, and their gradients add up.
#![allow(clippy::unwrap_used, reason = "a test that fails should fail loudly where it stands")]

use qbnn_bnn::train::{Event, train};
use qbnn_bnn::{
    Checkpoint, Estimator, ImagesView, NetworkSpec, Normalisation, QuantizeSettings, Shape, TrainData, TrainSettings,
};
use serde_json::json;
use std::ops::ControlFlow;

const SHAPE: Shape = Shape { channels: 1, rows: 4, columns: 4 };

fn with_data<R>(run: impl FnOnce(&TrainData<'_>) -> R) -> R {
    let pixels: Vec<u8> = (0..208 * 16).map(|i| (i * 37 % 97 + if i / 16 % 2 == 0 { 0 } else { 130 }) as u8).collect();
    let images = ImagesView { shape: SHAPE, pixels: &pixels };
    // The second batch of 128 has 80 pairs: three blocks for up to four draws.
    let pairs: Vec<(u32, u16)> = (0..208).map(|i| (i, (i % 2) as u16)).collect();
    let labels: Vec<u16> = pairs.iter().map(|p| p.1).collect();
    run(&TrainData::of_pairs(images, &pairs, images, &labels))
}

fn start(draws: usize, estimator: Estimator, initial_sigma: f32, epochs: usize) -> Checkpoint {
    let layers = json!([{ "type": "dense", "out": 6 }, { "type": "relu" }, { "type": "dense", "out": 2 }]);
    let spec: NetworkSpec = serde_json::from_value(json!({ "name": "tiny", "layer": layers })).unwrap();
    let train = TrainSettings { epochs, draws, estimator, initial_sigma, batch: 128, ..TrainSettings::default() };
    Checkpoint::new(&spec, SHAPE, 2, Normalisation { mean: 0.3, std: 0.3 }, 7, train).unwrap()
}

/// Trains to the end: accuracy, and KL of the first step.
fn finish(checkpoint: &mut Checkpoint, data: &TrainData<'_>) -> (f64, f64) {
    let (mut accuracy, mut first) = (0.0, None);
    let mut observe = |event: &Event| {
        match event {
            Event::Epoch { validation_accuracy, .. } => accuracy = *validation_accuracy,
            Event::Step { kl, .. } => _ = first.get_or_insert(*kl),
        }
        ControlFlow::Continue(())
    };
    train(checkpoint, data, &mut observe, &mut |_| Ok(())).unwrap();
    (accuracy, first.unwrap())
}

#[test]
fn without_spread_their_number_does_not_matter() {
    with_data(|data| {
        for estimator in [Estimator::Reparameterization, Estimator::LocalReparameterization, Estimator::Flipout] {
            let mut all = Vec::new();
            for draws in [1, 2, 3, 4] {
                let mut checkpoint = start(draws, estimator, 1e-7, 2);
                let (_, kl) = finish(&mut checkpoint, data);
                all.push((checkpoint.guide().posterior.mu().to_vec(), kl));
            }
            for (mu, kl) in &all[1..] {
                assert!((kl - all[0].1).abs() < 1e-4 * all[0].1, "{estimator:?}: KL {kl} {}", all[0].1);
                let worst = mu.iter().zip(&all[0].0).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 2e-4, "{estimator:?}: {worst}");
            }
        }
    });
}

#[test]
fn several_draws_learn_in_float_and_through_quantizers() {
    with_data(|data| {
        let mut four = start(4, Estimator::Reparameterization, 0.02, 40);
        assert!(finish(&mut four, data).0 > 0.95);
        let mut one = start(1, Estimator::Reparameterization, 0.02, 40);
        finish(&mut one, data);
        assert_ne!(one.guide().posterior, four.guide().posterior);
        let settings = QuantizeSettings { epochs: 4, ..QuantizeSettings::default() };
        let mut quantized = Checkpoint::quantized(four, settings, data).unwrap();
        assert!(finish(&mut quantized, data).0 > 0.95);
    });
}

#[test]
fn more_draws_than_blocks_are_refused() {
    let check = |draws, batch| TrainSettings { draws, batch, ..TrainSettings::default() }.check();
    assert!(check(4, 128).is_ok() && check(1, 1).is_ok());
    for (draws, batch) in [(0, 128), (5, 128), (2, 32)] {
        let error = check(draws, batch).unwrap_err().to_string();
        assert!(error.starts_with(&format!("draws = {draws}")), "{error}");
    }
}
