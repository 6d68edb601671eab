//! Training: the negative ELBO, step by step, as events.
//!
//! Per training pair: NLL under the estimator's draw, plus `kl_weight` times KL(q || prior) summed over all parameters
//! and divided by the number of training pairs (Blundell et al. 2015, eq. 8, every batch taking its share). Nothing
//! here prints; an observer sees every event and may say stop.

use crate::checkpoint::Checkpoint;
use crate::error::BnnError;
use crate::guide::{Drawn, GuideGradient};
use crate::likelihood::negative_log_likelihood;
use crate::nn::Network;
use crate::nn::pass::{BLOCK, Gradient, PassNoise, Tape};
use crate::noise::{self, purpose};
use crate::optim::cosine;
use crate::predict::{fill, predict};
use crate::prior::{Prior, WeightedPrior};
use crate::quant::Jq;
use crate::quant::activation::calibrate;
use crate::sets::TrainData;
use crate::settings::{Estimator, QuantizeSettings};
use qbnn_core::noise::{GAUSSIAN, GAUSSIAN_FRACTION_BITS, Place};
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::time::Instant;

/// Draws of a validation.
const VALIDATION_SAMPLES: usize = 4;

/// What training tells its observer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A step is done.
    Step {
        /// Epoch, from 1.
        epoch: usize,
        /// Epochs of this phase.
        epochs: usize,
        /// Step of the epoch, from 1.
        step: u64,
        /// Steps of an epoch.
        steps: u64,
        /// Mean NLL of the step's pairs, nats.
        nll: f64,
        /// KL divided by the number of training pairs, nats, not weighted.
        kl: f64,
        /// Weight of the KL at this step.
        kl_weight: f64,
    },
    /// An epoch is done.
    Epoch {
        /// Epoch, from 1.
        epoch: usize,
        /// Epochs of this phase.
        epochs: usize,
        /// Mean NLL over the epoch's pairs, nats.
        nll: f64,
        /// KL divided by the number of training pairs at the epoch's end, nats, not weighted.
        kl: f64,
        /// Accuracy on the validation images, 4 draws.
        validation_accuracy: f64,
        /// NLL on them, nats.
        validation_nll: f64,
        /// Training pairs per second, validation left out.
        images_per_second: f64,
    },
}

/// How a training came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// The observer said stop; the unfinished epoch is lost, the checkpoint holds the last finished one.
    Stopped,
}

/// Memory of one block of a step.
#[derive(Default)]
struct Block {
    tape: Tape,
    gradient: Gradient,
    logits: Vec<f32>,
    bytes: Vec<u8>,
    labels: Vec<u8>,
    nll: f64,
}

/// Everything a step needs besides the checkpoint.
#[derive(Default)]
pub struct Workspace {
    blocks: Vec<Block>,
    drawn: Drawn,
    batch: Gradient,
    gradient: GuideGradient,
}

/// Copies a block's images into a tape, with each pair's own noise.
fn load(net: &Network, key: [u32; 2], data: &TrainData<'_>, table: &[f32; 256], pairs: &[u32], block: &mut Block) {
    let members: [&[u8]; BLOCK] =
        std::array::from_fn(|i| pairs.get(i).map_or(&[][..], |&p| data.images.get(data.pairs[p as usize].0 as usize)));
    let input = block.tape.input(net, pairs.len());
    fill(input, pairs.len(), &members[..pairs.len()], table);
    block.labels.clear();
    block.labels.extend(pairs.iter().map(|&p| data.pairs[p as usize].1));
    if data.noise > 0.0 {
        let scale = data.noise / (1u32 << GAUSSIAN_FRACTION_BITS) as f32;
        let levels: [f32; 256] = std::array::from_fn(|i| GAUSSIAN[i] as f32 * scale);
        block.bytes.resize(net.input.len(), 0);
        for (b, &pair) in pairs.iter().enumerate() {
            noise::bytes(key, Place { purpose: purpose::PIXELS, tensor: 0, draw: pair }, &mut block.bytes);
            for (slot, &byte) in input[b..].iter_mut().step_by(pairs.len()).zip(&block.bytes) {
                *slot += levels[byte as usize];
            }
        }
    }
}

/// Mean NLL of a step and KL in nats.
struct Loss {
    nll: f64,
    kl: f64,
}

/// One step of gradient on `pairs`; the optimizer has not moved yet.
fn gradient(
    checkpoint: &Checkpoint,
    data: &TrainData<'_>,
    table: &[f32; 256],
    pairs: &[u32],
    step: u64,
    kl_scale: f32,
    work: &mut Workspace,
) -> Loss {
    let (net, guide) = (checkpoint.net(), checkpoint.guide());
    let estimator = checkpoint.estimator();
    let key = qbnn_core::noise::key(checkpoint.seed);
    guide.store(net, &mut work.drawn);
    guide.draw_for(net, estimator, key, step as u32, &mut work.drawn);
    let sites = guide.sites();
    let drawn = &work.drawn;
    let second = estimator != Estimator::WeightDraw;
    let count = pairs.len().div_ceil(BLOCK);
    if work.blocks.len() < count {
        work.blocks.resize_with(count, Block::default);
    }
    let scale = 1.0 / pairs.len() as f32;
    work.blocks[..count].par_iter_mut().zip(pairs.par_chunks(BLOCK)).enumerate().for_each(|(i, (block, pairs))| {
        load(net, key, data, table, pairs, block);
        let weights = drawn.for_pass(estimator, PassNoise { key, step: step as u32, block: i as u32 });
        block.tape.forward(net, weights, &*sites);
        let logits = block.tape.logits();
        block.logits.resize(logits.len(), 0.0);
        block.nll = negative_log_likelihood(logits, &block.labels, scale, &mut block.logits);
        block.gradient.reset(net.parameters(), second, sites.parameters());
        block.tape.backward(net, weights, &*sites, &block.logits, &mut block.gradient);
    });
    work.batch.reset(net.parameters(), second, sites.parameters());
    let mut nll = 0.0;
    for block in &work.blocks[..count] {
        work.batch.add(&block.gradient);
        nll += block.nll;
    }
    let kl = WeightedPrior { prior: Prior { sigma: checkpoint.train.prior_sigma }, scale: kl_scale };
    let kl = guide.backward(net, estimator, &mut work.drawn, &work.batch, kl, &mut work.gradient);
    Loss { nll: nll / pairs.len() as f64, kl }
}

impl Checkpoint {
    /// The estimator of this phase: a quantized draw is not Gaussian and has only one.
    fn estimator(&self) -> Estimator {
        if self.quantize.is_some() { Estimator::WeightDraw } else { self.train.estimator }
    }

    /// The float network `float`, its grids calibrated on its posterior and on training images (PTQ).
    ///
    /// # Errors
    /// A setting out of range; data that does not fit the network.
    pub fn quantized(float: Checkpoint, settings: QuantizeSettings, data: &TrainData<'_>) -> Result<Self, BnnError> {
        settings.check()?;
        data.check(float.input, float.classes)?;
        let mut jq = Jq::new(float.net(), &settings)?;
        jq.calibrate(float.net(), &float.guide().posterior);
        for (site, values) in site_values(&float, data, settings.calibration).into_iter().enumerate() {
            jq.set_site(site, calibrate(float.net().activations[site], jq.activation, &values));
        }
        Ok(Checkpoint::with_quantizers(float, settings, jq))
    }
}

/// A sample of each activation's values in float, over draws and training images.
fn site_values(float: &Checkpoint, data: &TrainData<'_>, images: usize) -> Vec<Vec<f32>> {
    use crate::nn::network::Op;
    /// Values kept of each site and pass.
    const KEPT: usize = 2048;
    let net = float.net();
    let key = qbnn_core::noise::key(float.seed);
    let order = noise::permutation(key, Place { purpose: purpose::SHUFFLE, tensor: 1, draw: 0 }, data.pairs.len());
    let mut values = vec![Vec::new(); net.activations.len()];
    let (mut block, mut drawn) = (Block::default(), Drawn::default());
    float.guide().store(net, &mut drawn);
    let sites = float.guide().sites();
    for (i, pairs) in order[..images.min(order.len())].chunks(BLOCK).enumerate() {
        float.guide().draw(net, key, purpose::PREDICTION, i as u32, &mut drawn);
        load(net, key, data, &float.normalisation.table(), pairs, &mut block);
        let weights = drawn.for_pass(Estimator::WeightDraw, PassNoise { key, step: 0, block: 0 });
        block.tape.forward(net, weights, &*sites);
        for (at, node) in net.nodes.iter().enumerate() {
            if let Op::Activation { site, .. } = node.op {
                let all = block.tape.value(at);
                values[site].extend(all.iter().step_by(all.len().div_ceil(KEPT)).copied());
            }
        }
    }
    values
}

/// Trains a checkpoint to the end of its phase. `save` is called after every epoch.
///
/// # Errors
/// Data that does not fit, a loss that is no number, or whatever `save` said.
pub fn train(
    checkpoint: &mut Checkpoint,
    data: &TrainData<'_>,
    observer: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    save: &mut dyn FnMut(&Checkpoint) -> Result<(), BnnError>,
) -> Result<Outcome, BnnError> {
    data.check(checkpoint.input, checkpoint.classes)?;
    checkpoint.guide().check(checkpoint.estimator())?;
    let epochs = checkpoint.epochs();
    let batch = checkpoint.train.batch;
    if batch > data.pairs.len() {
        let wanted = format!("it must be at most the {} training pairs", data.pairs.len());
        return Err(BnnError::setting("batch", batch, wanted));
    }
    let steps = data.pairs.len().div_ceil(batch) as u64;
    let total = steps * epochs as u64;
    let key = qbnn_core::noise::key(checkpoint.seed);
    let table = checkpoint.normalisation.table();
    let mut work = Workspace::default();
    while !checkpoint.finished() {
        let epoch = checkpoint.epoch;
        let phase = u32::from(checkpoint.quantize.is_some());
        let place = Place { purpose: purpose::SHUFFLE, tensor: 2 + phase, draw: epoch as u32 };
        let order = noise::permutation(key, place, data.pairs.len());
        let (started, mut nll_sum, mut kl) = (Instant::now(), 0.0, 0.0);
        for (i, pairs) in order.chunks(batch).enumerate() {
            let step = epoch as u64 * steps + i as u64;
            let kl_weight = checkpoint.kl_weight(step, total);
            let kl_scale = kl_weight / data.pairs.len() as f32;
            let loss = gradient(checkpoint, data, &table, pairs, step, kl_scale, &mut work);
            if !(loss.nll + loss.kl).is_finite() {
                return Err(BnnError::Diverged { loss: loss.nll + loss.kl, epoch: epoch + 1, step });
            }
            checkpoint.update(&work.gradient, step, total);
            nll_sum += loss.nll * pairs.len() as f64;
            kl = loss.kl / data.pairs.len() as f64;
            let event = Event::Step {
                epoch: epoch + 1,
                epochs,
                step: i as u64 + 1,
                steps,
                nll: loss.nll,
                kl,
                kl_weight: kl_weight as f64,
            };
            if observer(&event).is_break() {
                return Ok(Outcome::Stopped);
            }
        }
        let images_per_second = data.pairs.len() as f64 / started.elapsed().as_secs_f64();
        checkpoint.epoch += 1;
        // An update that ruined the weights must not overwrite a checkpoint that is whole.
        let posterior = &checkpoint.guide.posterior;
        if !posterior.mu.iter().chain(&posterior.log_sigma).all(|v| v.is_finite()) {
            return Err(BnnError::Diverged { loss: f64::NAN, epoch: epoch + 1, step: (epoch as u64 + 1) * steps - 1 });
        }
        let (validation_accuracy, validation_nll) = validate(checkpoint, data)?;
        let nll = nll_sum / data.pairs.len() as f64;
        let event =
            Event::Epoch { epoch: epoch + 1, epochs, nll, kl, validation_accuracy, validation_nll, images_per_second };
        // The event first: whoever writes it down can cut a line without a checkpoint, but not invent a missing one.
        let stop = observer(&event).is_break();
        save(checkpoint)?;
        if stop && !checkpoint.finished() {
            return Ok(Outcome::Stopped);
        }
    }
    Ok(Outcome::Finished)
}

impl Checkpoint {
    /// KL weight of a step: risen linearly over the warm-up; fine-tuning has none.
    fn kl_weight(&self, step: u64, total: u64) -> f32 {
        let warmup = self.train.kl_warmup as f64 * total as f64;
        let share = if self.quantize.is_some() || warmup <= 0.0 { 1.0 } else { ((step + 1) as f64 / warmup).min(1.0) };
        self.train.kl_weight * share as f32
    }

    /// Moves everything learned by one step of Adam.
    fn update(&mut self, gradient: &GuideGradient, step: u64, total: u64) {
        let rate = self.quantize.as_ref().map_or(self.train.learning_rate, |q| q.learning_rate) * cosine(step, total);
        self.mu_adam.update(&mut self.guide.posterior.mu, &gradient.mu, rate, step);
        self.sigma_adam.update(&mut self.guide.posterior.log_sigma, &gradient.log_sigma, rate, step);
        if let Some(jq) = &mut self.guide.quantizers {
            self.learned_adam.update(&mut jq.learned, &gradient.learned, rate, step);
        }
    }
}

/// Accuracy and NLL (nats) on the validation images.
fn validate(checkpoint: &Checkpoint, data: &TrainData<'_>) -> Result<(f64, f64), BnnError> {
    let (images, classes) = (data.validation, checkpoint.classes);
    let (net, guide) = (checkpoint.net(), checkpoint.guide());
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let probs = predict(net, guide, checkpoint.normalisation, images, VALIDATION_SAMPLES, checkpoint.seed, go_on)?
        .unwrap_or_default();
    let row = images.len() * classes;
    let (mut right, mut nll) = (0usize, 0.0);
    for (i, &label) in data.validation_labels.iter().enumerate() {
        let mean = |c: usize| (0..VALIDATION_SAMPLES).map(|s| probs[s * row + i * classes + c]).sum::<f32>();
        let best = (1..classes).fold(0, |best, c| if mean(c) > mean(best) { c } else { best });
        right += usize::from(best == label as usize);
        nll -= ((mean(label as usize) as f64 / VALIDATION_SAMPLES as f64).max(1e-12)).ln();
    }
    let n = images.len().max(1) as f64;
    Ok((right as f64 / n, nll / n))
}
