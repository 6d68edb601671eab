//! Training: the negative ELBO, step by step, as events.
//!
//! Per training pair: NLL under the estimator's draw, plus `kl_weight` times KL(q || prior) summed over all parameters
//! and divided by the number of training pairs (Blundell et al. 2015, eq. 8, every batch taking its share). Nothing
//! here prints; an observer sees every event and may say stop.

use crate::checkpoint::Checkpoint;
use crate::data::TrainData;
use crate::divergence::Watch;
use crate::error::BnnError;
use crate::nn::limit;
use crate::noise::{self, purpose};
use crate::predict::predict;
use crate::progress::NoProgress;
use crate::step::Steps;
use qbnn_core::noise::NoiseCounter;
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

/// Trains a checkpoint to the end of its phase. `save` is called after every epoch.
///
/// # Errors
/// Data that does not fit, [`BnnError::Diverged`], or whatever `save` said.
pub fn train(
    checkpoint: &mut Checkpoint,
    data: &TrainData<'_>,
    observer: &mut dyn FnMut(&Event) -> ControlFlow<()>,
    save: &mut dyn FnMut(&Checkpoint) -> Result<(), BnnError>,
) -> Result<Outcome, BnnError> {
    data.check(checkpoint.input, checkpoint.classes)?;
    checkpoint.guide().check(checkpoint.estimator())?;
    checkpoint.train.check_data(data)?;
    let epochs = checkpoint.epochs();
    let batch = checkpoint.train.batch;
    if batch > data.pairs.len() {
        let wanted = format!("it must be at most the {} training pairs", data.pairs.len());
        return Err(BnnError::setting("batch", batch, wanted));
    }
    limit::training(checkpoint.net(), batch)?;
    let steps = data.pairs.len().div_ceil(batch) as u64;
    let total = steps * epochs as u64;
    let key = qbnn_core::noise::key(checkpoint.seed);
    let mut steps_of = Steps::new(checkpoint, *data);
    let mut watch = Watch::new(data.noise);
    while !checkpoint.finished() {
        let epoch = checkpoint.epoch;
        let phase = u32::from(checkpoint.quantize.is_some());
        let place = NoiseCounter { purpose: purpose::SHUFFLE, tensor: 2 + phase, draw: epoch as u32 };
        let order = noise::permutation(key, place, data.pairs.len());
        let (started, mut nll_sum, mut kl) = (Instant::now(), 0.0, 0.0);
        for (i, pairs) in order.chunks(batch).enumerate() {
            let step = epoch as u64 * steps + i as u64;
            let loss = steps_of.step(checkpoint, pairs, step, total);
            watch.step(checkpoint, loss, (epoch + 1, i as u64 + 1))?;
            nll_sum += loss.nll * pairs.len() as f64;
            kl = loss.kl;
            let event = Event::Step {
                epoch: epoch + 1,
                epochs,
                step: i as u64 + 1,
                steps,
                nll: loss.nll,
                kl,
                kl_weight: loss.kl_weight,
            };
            if observer(&event).is_break() {
                return Ok(Outcome::Stopped);
            }
        }
        let images_per_second = data.pairs.len() as f64 / started.elapsed().as_secs_f64();
        let nll = nll_sum / data.pairs.len() as f64;
        // An update that ruined anything must not overwrite a checkpoint that is whole.
        watch.epoch(checkpoint, nll, (epoch + 1, steps))?;
        checkpoint.epoch += 1;
        let (validation_accuracy, validation_nll) = validate(checkpoint, data)?;
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

/// Accuracy and NLL (nats) on the validation images.
fn validate(checkpoint: &Checkpoint, data: &TrainData<'_>) -> Result<(f64, f64), BnnError> {
    let (images, classes) = (data.validation, checkpoint.classes);
    let (net, guide) = (checkpoint.net(), checkpoint.guide());
    let seed = checkpoint.seed;
    let found = predict(net, guide, checkpoint.normalisation, images, VALIDATION_SAMPLES, seed, &mut NoProgress)?;
    let probs = found.values;
    let row = images.len() * classes;
    let (mut right, mut nll) = (0usize, 0.0);
    for (i, &label) in data.validation_labels.iter().enumerate() {
        let mean = |c: usize| (0..VALIDATION_SAMPLES).map(|s| probs[s * row + i * classes + c]).sum::<f64>();
        let best = (1..classes).fold(0, |best, c| if mean(c) > mean(best) { c } else { best });
        right += usize::from(best == label as usize);
        nll -= (mean(label as usize) / VALIDATION_SAMPLES as f64).max(1e-12).ln();
    }
    let n = images.len().max(1) as f64;
    Ok((right as f64 / n, nll / n))
}
