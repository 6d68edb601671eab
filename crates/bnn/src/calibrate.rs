//! Calibration: a float network gets grids that suit its posterior and its training images (PTQ).
//!
//! The grids of parameters follow from the posterior alone. The steps of activations follow from training images: first
//! from the activations' values, then, by the usual rule, from the prediction. Values alone mislead where many units
//! carry nothing: after a long training most weights of a network are as their prior, the units behind them are
//! noise of a large variance, and a step that fits them rounds the units that carry the prediction too coarsely.

use crate::checkpoint::Checkpoint;
use crate::data::TrainData;
use crate::error::BnnError;
use crate::guide::{Drawn, Guide};
use crate::load::{LoadScratch, Loader};
use crate::nn::network::Op;
use crate::nn::pass::{BLOCK, PassNoise, Workspace};
use crate::noise::{self, purpose};
use crate::predict::predict;
use crate::progress::NoProgress;
use crate::quant::Quantizers;
use crate::quant::activation::calibrate;
use crate::quant::settings::{Calibration, QuantizeSettings, Start};
use crate::settings::Estimator;
use qbnn_core::ImagesView;
use qbnn_core::noise::NoiseCounter;

/// Training images whose prediction decides a step.
const PREDICTED_IMAGES: usize = 256;

/// Draws of their prediction.
const PREDICTED_DRAWS: usize = 4;

/// How far a step may be from the one that fits the values.
const OCTAVES: [f32; 9] = [-1.5, -1.25, -1.0, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75];

impl Checkpoint {
    /// The float network `float`, its grids calibrated on its posterior and on training images (PTQ); from scratch, as
    /// it was before its training.
    ///
    /// # Errors
    /// A setting out of range; data that does not fit the network.
    pub fn quantized(float: Checkpoint, settings: QuantizeSettings, data: &TrainData<'_>) -> Result<Self, BnnError> {
        settings.check()?;
        data.check(float.input, float.classes)?;
        settings.check_posterior(float.train.posterior)?;
        let float = match settings.start {
            Start::Float => float,
            Start::Scratch => {
                let Checkpoint { network, input, classes, normalisation, seed, train, origin, prior, .. } = float;
                let mut new = Checkpoint::new(&network, input, classes, normalisation, seed, train)?;
                (new.origin, new.prior) = (origin, prior);
                new
            }
        };
        let mut quantizers = float.quantizers(&settings)?;
        if let Some(quantizers) = &mut quantizers {
            // From scratch, sigma is still to spread: from below where it begins up to the prior.
            let span = (float.train.initial_sigma / 4.0, float.train.prior_sigma);
            let span = (settings.start == Start::Scratch).then_some(span);
            quantizers.calibrate(float.net(), &float.guide().posterior, span);
            if let Some(bits) = quantizers.activations.as_ref().map(|grids| grids.bits) {
                let order = order(&float, data, settings.calibration);
                for (index, values) in activation_values(&float, data, &order).into_iter().enumerate() {
                    quantizers
                        .set_activation(index, calibrate(float.net().activations[index], bits, settings.fit, &values));
                }
                // Before its training a network predicts nothing yet.
                if settings.fit == Calibration::Prediction && settings.start == Start::Float {
                    by_prediction(&float, quantizers, data, &order)?;
                }
            }
        }
        let quantized = Checkpoint::with_quantizers(float, settings, quantizers);
        match quantized.not_finite() {
            None => Ok(quantized),
            Some((name, found)) => Err(BnnError::Data(format!(
                "`{name}` became {found} when its grid was set: train the float network again"
            ))),
        }
    }
}

/// A sample of each activation's values in float, over draws and training images.
fn activation_values(float: &Checkpoint, data: &TrainData<'_>, order: &[u32]) -> Vec<Vec<f32>> {
    /// Values kept of each activation and pass.
    const KEPT: usize = 2048;
    let net = float.net();
    let key = qbnn_core::noise::key(float.seed);
    let mut values = vec![Vec::new(); net.activations.len()];
    // Grids are for images as they are, not for their blends with OOD images.
    let data = TrainData { ood: None, ..*data };
    let loader = Loader::new(data, &float.train, float.normalisation, float.seed);
    let (mut workspace, mut drawn) = (Workspace::default(), Drawn::default());
    let mut loading = LoadScratch::default();
    let activations = float.guide().activation_quantizer(float.normalisation);
    for (i, pairs) in order.chunks(BLOCK).enumerate() {
        float.guide().draw(net, key, purpose::PREDICTION, i as u32, &mut drawn);
        loader.load(pairs, 0, workspace.input(net), &mut loading);
        let weights = drawn.for_pass(Estimator::Reparameterization, PassNoise { key, step: 0, block: 0 });
        workspace.forward(net, weights, &*activations);
        for (at, node) in net.nodes.iter().enumerate() {
            if let Op::Activation { index, .. } = node.op {
                let all = workspace.value(net, at);
                let images = all.chunks_exact(BLOCK).flat_map(|run| &run[..pairs.len()]);
                values[index].extend(images.step_by(all.len().div_ceil(KEPT)).copied());
            }
        }
    }
    values
}

/// Training pairs that calibration looks at: as many as asked for, in an order of the seed's.
fn order(float: &Checkpoint, data: &TrainData<'_>, images: usize) -> Vec<u32> {
    let key = qbnn_core::noise::key(float.seed);
    let place = NoiseCounter { purpose: purpose::SHUFFLE, tensor: 1, draw: 0 };
    let mut order = noise::permutation(key, place, data.pairs.len());
    order.truncate(images);
    order
}

/// Moves the step of one activation after the other to where the prediction is nearest to that of float activations: the
/// mean KL(float || quantized) over images and draws, with the same drawn weights on both sides.
fn by_prediction(
    float: &Checkpoint,
    quantizers: &mut Quantizers,
    data: &TrainData<'_>,
    order: &[u32],
) -> Result<(), BnnError> {
    let chosen = order.iter().take(PREDICTED_IMAGES).filter_map(|&pair| data.pairs.get(pair as usize));
    let pixels: Vec<u8> = chosen.flat_map(|&(image, _)| data.images.get(image as usize)).copied().collect();
    let images = ImagesView { shape: data.images.shape, pixels: &pixels };
    let predicted = |guide: &Guide| {
        let (net, pixels) = (float.net(), float.normalisation);
        predict(net, guide, pixels, images, PREDICTED_DRAWS, float.seed, &mut NoProgress).map(|found| found.values)
    };
    let mut guide = float.guide().clone();
    let mut of_parameters = quantizers.clone();
    of_parameters.activations = None;
    guide.quantizers = Some(of_parameters);
    let wanted = predicted(&guide)?;
    let rows = (wanted.len() / float.classes).max(1) as f64;
    let mut distance = |quantizers: &Quantizers| -> Result<f64, BnnError> {
        guide.quantizers = Some(quantizers.clone());
        let found = predicted(&guide)?;
        let terms = wanted.iter().zip(&found).filter(|pair| *pair.0 > 0.0).map(|(&p, &q)| p * (p / q.max(1e-30)).ln());
        Ok(terms.sum::<f64>() / rows)
    };
    let mut least = distance(quantizers)?;
    for index in 0..float.net().activations.len() {
        let Some(first) = quantizers.activations.as_ref().map(|grids| grids.log2_steps[index]) else { break };
        let mut best = first;
        for octaves in OCTAVES {
            quantizers.set_activation(index, first + octaves);
            let found = distance(quantizers)?;
            if found < least {
                (least, best) = (found, first + octaves);
            }
        }
        quantizers.set_activation(index, best);
    }
    Ok(())
}
