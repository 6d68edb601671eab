//! What a training is told: plain data that a config file and a checkpoint hold alike. What a quantization is told
//! stands with the quantizers, in [`crate::quant::settings`].

use crate::error::BnnError;
use crate::nn::pass::BLOCK;
use serde::{Deserialize, Serialize};

/// How training is done. Defaults are the house recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSettings {
    /// Passes over the training pairs.
    pub epochs: usize,
    /// Pairs per step.
    pub batch: usize,
    /// Adam's step size at the start; it falls to zero along a cosine.
    pub learning_rate: f32,
    /// Weight of the KL divergence in the ELBO; 1 is the exact bound.
    pub kl_weight: f32,
    /// Share of the training over which the KL weight rises linearly from zero.
    pub kl_warmup: f32,
    /// Standard deviation of the Gaussian prior of every weight and bias.
    pub prior_sigma: f32,
    /// Standard deviation that every weight starts with.
    pub initial_sigma: f32,
    /// How the gradient meets the random weights.
    pub estimator: Estimator,
    /// Networks drawn for a step, each for its share of the batch: more of them, less noise of the gradient.
    pub draws: usize,
    /// What is learned of every weight.
    pub posterior: Family,
    /// Share of the units that a dropout posterior drops.
    pub dropout: f32,
}

impl Default for TrainSettings {
    fn default() -> Self {
        TrainSettings {
            epochs: 20,
            batch: 128,
            learning_rate: 2e-3,
            kl_weight: 1.0,
            kl_warmup: 0.3,
            prior_sigma: 1.0,
            initial_sigma: 0.02,
            estimator: Estimator::WeightDraw,
            draws: 1,
            posterior: Family::Gaussian,
            dropout: 0.1,
        }
    }
}

/// What is learned of every weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// A mean and a standard deviation.
    Gaussian,
    /// A value: the deterministic network that peers compare with. The KL's weight is that of its prior (MAP).
    Point,
    /// A value, each draw with some units dropped: MC dropout (Gal, Ghahramani 2016).
    Dropout,
}

/// The gradient estimator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// One drawn network per step (Blundell et al. 2015).
    WeightDraw,
    /// Drawn activations (Kingma, Salimans, Welling 2015).
    LocalReparameterization,
    /// One drawn deviation, its sign flipped per image (Wen et al. 2018).
    Flipout,
}

/// A setting that must be a positive finite number.
pub(crate) fn positive(key: &'static str, value: f32) -> Result<(), BnnError> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(BnnError::setting(key, value, "it must be a number above 0"))
    }
}

impl TrainSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// [`BnnError::Setting`] names the key, what was found and what is accepted.
    pub fn check(&self) -> Result<(), BnnError> {
        if self.batch == 0 {
            return Err(BnnError::setting("batch", self.batch, "it must be at least 1"));
        }
        let most = self.batch.div_ceil(BLOCK);
        if !(1..=most).contains(&self.draws) {
            let wanted =
                format!("wanted 1 to {most}: each draw takes at least {BLOCK} of the batch's {} pairs", self.batch);
            return Err(BnnError::setting("draws", self.draws, wanted));
        }
        positive("learning_rate", self.learning_rate)?;
        positive("prior_sigma", self.prior_sigma)?;
        positive("initial_sigma", self.initial_sigma)?;
        if !(self.kl_weight >= 0.0 && self.kl_weight.is_finite()) {
            return Err(BnnError::setting("kl_weight", self.kl_weight, "it must be 0 or more"));
        }
        if !(0.0..=1.0).contains(&self.kl_warmup) {
            return Err(BnnError::setting("kl_warmup", self.kl_warmup, "it is a share of the training, 0 to 1"));
        }
        if !(self.dropout > 0.0 && self.dropout < 1.0) {
            return Err(BnnError::setting("dropout", self.dropout, "it is a share of the units, between 0 and 1"));
        }
        if self.posterior != Family::Gaussian && self.estimator != Estimator::WeightDraw {
            let found = format!("{:?}", self.estimator);
            return Err(BnnError::setting("estimator", found, "a posterior without sigma needs weight-draw"));
        }
        Ok(())
    }
}
