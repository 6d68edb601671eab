//! A checkpoint, its simulation in float, and the machine that runs its file: the same network.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails should fail loudly where it stands")]

mod toy;

use qbnn_bnn::predictor::{Draws, Export, NoProgress, Predictor, of_checkpoint};
use qbnn_bnn::{
    BitWidths, BnnError, Checkpoint, ImagesView, NetworkSpec, QuantizeSettings, Rounding, Shape, TrainSettings, export,
};
use qbnn_core::model::{Kind, Model};
use serde_json::json;
use std::ops::ControlFlow;
use toy::{CLASSES, NORMALISATION, trained};

/// Settings of JQ.
fn jq(bits: BitWidths, rounding: Rounding) -> Option<QuantizeSettings> {
    Some(QuantizeSettings { bits, rounding, ..QuantizeSettings::default() })
}

/// Mean probabilities over draws.
fn mean(probabilities: &[f64], images: usize) -> Vec<f64> {
    let n = images * CLASSES;
    let draws = probabilities.len() / n;
    (0..n).map(|i| (0..draws).map(|s| probabilities[s * n + i]).sum::<f64>() / draws as f64).collect()
}

fn agree(name: &str, layers: serde_json::Value, shape: Shape, bits: BitWidths, rounding: Rounding) {
    let (checkpoint, pixels) = trained(layers, shape, jq(bits, rounding));
    let images = ImagesView { shape, pixels: &pixels };
    let draws = Draws { count: 8, seed: 5 };
    let (mut integer, mut simulated) = Export::new(&checkpoint).both().unwrap().unwrap();
    let simulated = simulated.predict(images, draws, &mut NoProgress).unwrap().values;
    let found = integer.predict(images, draws, &mut NoProgress).unwrap().values;
    // A sum that float rounds to the other side of a code's edge moves one draw of one image by a code; it is rare.
    let off = simulated.iter().zip(&found).filter(|(a, b)| (*a - *b).abs() > 2e-3).count();
    assert!(off * 200 <= found.len(), "{name}: {off} of {} probabilities differ", found.len());
    let (a, b) = (mean(&simulated, images.len()), mean(&found, images.len()));
    let class = |p: &[f64]| (0..CLASSES).max_by(|&i, &j| p[i].total_cmp(&p[j])).unwrap();
    let mut moved = 0.0;
    for (i, (a, b)) in a.chunks_exact(CLASSES).zip(b.chunks_exact(CLASSES)).enumerate() {
        let margin =
            a[class(a)] - a.iter().enumerate().filter(|(c, _)| *c != class(a)).map(|p| *p.1).fold(0.0, f64::max);
        assert!(class(a) == class(b) || margin < 1e-3, "{name}, image {i}: {a:?} and {b:?}");
        moved += a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>();
    }
    let moved = moved / a.len() as f64;
    assert!(moved < 1e-3, "{name}: probabilities moved by {moved}");
}

const W4: BitWidths = BitWidths { mu: 4, sigma: 4, weight: 4, activation: 4 };

#[test]
fn a_convolutional_network_is_the_same_in_the_machine() {
    let layers = json!([
        { "type": "conv", "out": 6, "kernel": 3, "padding": 1 },
        { "type": "relu" },
        { "type": "max-pool", "size": 2 },
        { "type": "conv", "out": 8, "kernel": 3 },
        { "type": "relu" },
        { "type": "flatten" },
        { "type": "dense", "out": 12 },
        { "type": "hardtanh" },
        { "type": "dense", "out": CLASSES },
    ]);
    let shape = Shape { channels: 2, rows: 9, columns: 12 };
    agree("w4", layers.clone(), shape, W4, Rounding::Nearest);
    agree("w4, stochastic", layers.clone(), shape, W4, Rounding::Stochastic);
    let bits = BitWidths { mu: 8, sigma: 5, weight: 6, activation: 8 };
    agree("mixed", layers, shape, bits, Rounding::Nearest);
}

#[test]
fn a_network_with_branches_and_groups_is_the_same_in_the_machine() {
    let layers = json!([
        { "type": "conv", "out": 8, "kernel": 3, "padding": 1, "stride": 2 },
        { "type": "leaky-relu", "slope": 0.1, "name": "stem" },
        { "type": "conv", "out": 8, "kernel": 3, "padding": 1, "groups": 4 },
        { "type": "add", "from": "stem" },
        { "type": "clipped-relu", "max": 4.0 },
        { "type": "average-pool", "size": 2 },
        { "type": "dense", "out": CLASSES },
    ]);
    agree("branches", layers, Shape { channels: 1, rows: 9, columns: 9 }, W4, Rounding::Nearest);
}

#[test]
fn a_float_checkpoint_becomes_a_float_file() {
    let spec = NetworkSpec::named("lenet5", 10).unwrap();
    let shape = Shape { channels: 1, rows: 28, columns: 28 };
    let checkpoint = Checkpoint::new(&spec, shape, 10, NORMALISATION, 1, TrainSettings::default()).unwrap();
    let file = export(&checkpoint).unwrap();
    let model = Model::new(&file).unwrap();
    assert_eq!((model.kind(), model.parameters(), model.name()), (Kind::Float, 61_706, "lenet5"));
    assert!(file.len() < 8 * 61_706 + 1024);
}

#[test]
fn what_the_machine_cannot_run_is_refused_by_name() {
    let layers = json!([
        { "type": "dense", "out": 4 },
        { "type": "dense", "out": 5 },
        { "type": "relu" },
        { "type": "dense", "out": CLASSES },
    ]);
    let shape = Shape { channels: 1, rows: 3, columns: 3 };
    let (checkpoint, _) = trained(layers, shape, jq(W4, Rounding::Nearest));
    let message = export(&checkpoint).unwrap_err().to_string();
    assert!(message.contains("layer dense2: it needs codes: put an activation before it"), "{message}");
}

#[test]
fn more_draws_than_are_held_at_once_are_the_same_draws() {
    let layers = json!([{ "type": "dense", "out": 6 }, { "type": "relu" }, { "type": "dense", "out": CLASSES }]);
    let shape = Shape { channels: 1, rows: 6, columns: 6 };
    let (checkpoint, pixels) = trained(layers, shape, jq(W4, Rounding::Nearest));
    let images = ImagesView { shape, pixels: &pixels[..36 * 50] };
    let mut machine = of_checkpoint(&checkpoint).unwrap();
    let mut run = |count| machine.predict(images, Draws { count, seed: 9 }, &mut NoProgress).unwrap().values;
    let (few, many) = (run(5), run(70));
    assert_eq!(few[..], many[..few.len()]);
    let stopped = machine.predict(images, Draws { count: 70, seed: 9 }, &mut |done: usize, _: usize| {
        if done == 32 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(BnnError::Stopped)));
    let other = ImagesView { shape: Shape { rows: 9, columns: 4, ..shape }, pixels: &pixels[..36] };
    let message = machine.predict(other, Draws { count: 1, seed: 9 }, &mut NoProgress).unwrap_err();
    assert!(message.to_string().contains("1x9x4"), "{message}");
}
