//! Training that leads nowhere: seen in the step where it shows, with the setting that is most likely at fault.
//!
//! A number that is none anywhere in the posterior makes the KL none one step later, so every step looks at its losses
//! alone; what only a checkpoint holds (Adam's moments, learned scales) is looked at before one is written.

use crate::checkpoint::Checkpoint;
use crate::error::BnnError;
use crate::step::Loss;

/// Nats of a term of the loss, per pair, beyond which gradients leave the range of floats.
const LIMIT: f64 = 1e12;
/// Nats of the NLL per pair, and how often that of the first step, at which a training has blown up.
const BLOWN: (f64, f64) = (1e6, 100.0);
/// The same of an epoch, in terms of a guess's NLL and of the best epoch's.
const BLOWN_EPOCH: (f64, f64) = (100.0, 10.0);
/// How many times the NLL the weighted KL must be to be what drives a training.
const KL_DRIVES: f64 = 1000.0;

/// What a training remembers of its losses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// Noise of the training's pixels.
    noise: f32,
    /// The NLL of the first step.
    first: Option<f64>,
    /// The last losses that were as they should be.
    last: Option<Loss>,
    /// The lowest NLL of an epoch.
    lowest: f64,
}

/// Where a training is: epoch and step of the epoch, from 1.
pub(crate) type Moment = (usize, u64);

impl Watch {
    /// Of a training whose pixels have so much noise.
    pub fn new(noise: f32) -> Self {
        Watch { noise, first: None, last: None, lowest: f64::INFINITY }
    }

    /// Looks at the losses of a step, which it has before it learns.
    pub fn step(&mut self, checkpoint: &Checkpoint, loss: Loss, at: Moment) -> Result<(), BnnError> {
        let first = *self.first.get_or_insert(loss.nll);
        let found = if !loss.nll.is_finite() {
            format!("the NLL is {}", loss.nll)
        } else if !loss.kl.is_finite() {
            format!("the KL divergence is {}", loss.kl)
        } else if loss.kl_weight * loss.kl > LIMIT {
            format!("the weighted KL divergence is {:.1e} nats per pair", loss.kl_weight * loss.kl)
        } else if loss.nll > LIMIT || loss.nll > BLOWN.0 && loss.nll > BLOWN.1 * first {
            format!("the NLL is {:.1e} nats per pair", loss.nll)
        } else {
            self.last = Some(loss);
            return Ok(());
        };
        Err(self.diverged(checkpoint, found, Some(loss), at))
    }

    /// Looks at the mean NLL of an epoch, and at everything that its checkpoint would hold.
    pub fn epoch(&mut self, checkpoint: &Checkpoint, nll: f64, at: Moment) -> Result<(), BnnError> {
        let guess = (checkpoint.classes as f64).ln();
        let found = if let Some((name, value)) = checkpoint.not_finite() {
            format!("`{name}` holds {value}")
        } else if nll > BLOWN_EPOCH.0 * guess && nll > BLOWN_EPOCH.1 * self.lowest {
            format!("the NLL rose from {:.1} to {nll:.1} nats per pair", self.lowest)
        } else {
            self.lowest = self.lowest.min(nll);
            return Ok(());
        };
        Err(self.diverged(checkpoint, found, None, at))
    }

    fn diverged(&self, checkpoint: &Checkpoint, found: String, loss: Option<Loss>, (epoch, step): Moment) -> BnnError {
        BnnError::Diverged { found, cause: self.cause(checkpoint, loss), epoch, step }
    }

    /// The setting most likely at fault: of the term that is no number, or that drives the loss.
    fn cause(&self, checkpoint: &Checkpoint, loss: Option<Loss>) -> String {
        let train = &checkpoint.train;
        let (prefix, rate, weight) = match &checkpoint.quantize {
            None => ("train", train.learning_rate, train.kl_weight),
            Some(q) => ("quantize", q.learning_rate, q.kl_weight.unwrap_or(train.kl_weight)),
        };
        let setting = |name: &str, value: f32, fix: &str| format!("most likely {name} = {value}: {fix}");
        let sigma = || setting("train.initial_sigma", train.initial_sigma, "lower it (0.02 is usual)");
        let of_kl = |learned: bool| {
            if train.prior_sigma < 0.01 {
                setting("train.prior_sigma", train.prior_sigma, "raise it (1 is usual)")
            } else if train.initial_sigma > 1e3 {
                sigma()
            } else if weight > 10.0 || !learned {
                setting(&format!("{prefix}.kl_weight"), weight, "lower it (1 is the exact bound)")
            } else {
                setting(&format!("{prefix}.learning_rate"), rate, "lower it")
            }
        };
        let Some(last) = self.last else {
            // Nothing was learned yet.
            return match loss {
                Some(l) if l.nll.is_finite() && l.nll <= LIMIT => of_kl(false),
                _ if self.noise > 100.0 => setting("noise of the training images", self.noise, "lower it"),
                _ if checkpoint.quantize.is_none() => sigma(),
                _ => "the float network that it starts from gives no finite loss: train that again".to_owned(),
            };
        };
        if last.kl_weight * last.kl > KL_DRIVES * last.nll.max(1.0) {
            of_kl(true)
        } else if train.initial_sigma >= 1.0 && self.first.is_some_and(|first| first > 1e3) {
            sigma()
        } else {
            setting(&format!("{prefix}.learning_rate"), rate, "lower it")
        }
    }
}

impl Checkpoint {
    /// The first number of a checkpoint's tensors that is none, and its tensor's name.
    pub(crate) fn not_finite(&self) -> Option<(String, f32)> {
        let strange = |values: &[f32]| values.iter().copied().find(|v| !v.is_finite());
        self.tensors().into_iter().find_map(|(name, _, values)| strange(values).map(|v| (name, v)))
    }
}
