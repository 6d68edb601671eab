//! A small task, and networks trained on it.
#![allow(dead_code, clippy::unwrap_used, reason = "every test uses its part, and should fail loudly where it stands")]

use qbnn_bnn::train::train;
use qbnn_bnn::{
    Checkpoint, ImagesView, NetworkSpec, Normalisation, PosteriorKind, QuantizeSettings, Shape, TrainData,
    TrainSettings,
};
use serde_json::json;
use std::ops::ControlFlow;

pub const CLASSES: usize = 3;
pub const NORMALISATION: Normalisation = Normalisation { mean: 0.1307, std: 0.3081 };

/// Images whose class is the bright band of rows, under noise.
pub fn toy(shape: Shape, images: usize) -> (Vec<u8>, Vec<u16>) {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let labels: Vec<u16> = (0..images).map(|i| (i % CLASSES) as u16).collect();
    let mut pixels = Vec::new();
    let band = shape.columns * shape.rows / CLASSES;
    for &label in &labels {
        let area = shape.rows * shape.columns;
        let mut value = |p: usize| random() / 2 + if p % area / band == label as usize { 60 } else { 0 };
        let planes: Vec<u8> = (0..shape.len()).map(&mut value).collect();
        pixels.extend((0..shape.len()).map(|i| planes[i % shape.channels * area + i / shape.channels]));
    }
    (pixels, labels)
}

/// A network trained on them, and quantized as `settings` say; and the images.
pub fn trained(layers: serde_json::Value, shape: Shape, settings: Option<QuantizeSettings>) -> (Checkpoint, Vec<u8>) {
    trained_as(PosteriorKind::Gaussian, layers, shape, settings)
}

/// The same with another posterior.
pub fn trained_as(
    posterior: PosteriorKind,
    layers: serde_json::Value,
    shape: Shape,
    settings: Option<QuantizeSettings>,
) -> (Checkpoint, Vec<u8>) {
    let (pixels, labels) = toy(shape, 240);
    let pairs: Vec<(u32, u16)> = labels.iter().enumerate().map(|(i, &l)| (i as u32, l)).collect();
    let images = ImagesView { shape, pixels: &pixels };
    let data = TrainData { noise: 0.05, ..TrainData::of_pairs(images, &pairs, images, &labels) };
    let spec: NetworkSpec = serde_json::from_value(json!({ "name": "toy", "layer": layers })).unwrap();
    let train_settings =
        TrainSettings { epochs: 4, batch: 40, learning_rate: 1e-2, posterior, ..TrainSettings::default() };
    let mut checkpoint = Checkpoint::new(&spec, shape, CLASSES, NORMALISATION, 3, train_settings).unwrap();
    train(&mut checkpoint, &data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(())).unwrap();
    if let Some(settings) = settings {
        let settings = QuantizeSettings { epochs: 1, learning_rate: 1e-3, calibration: 64, ..settings };
        checkpoint = Checkpoint::quantized(checkpoint, settings, &data).unwrap();
        train(&mut checkpoint, &data, &mut |_| ControlFlow::Continue(()), &mut |_| Ok(())).unwrap();
    }
    (checkpoint, pixels)
}
